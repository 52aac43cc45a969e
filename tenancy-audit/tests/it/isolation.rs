//! A tenant's log is his own, and a denial stays in it whatever becomes of what was denied.

use std::sync::Arc;

use crate::support::House;
use tenancy_audit::{AuditLog, AuditQuery, CountBy, ErrorKind, ExportFormat};
use tenancy_core::{
    ApiKeyId, AuditSink, Authorizer as _, Event, OwnerAuthorizer, Permission as _, Principal,
    ServiceKey,
    testing::{self, FakeAuthorizer},
};

#[tokio::test]
async fn entries_are_visible_only_to_their_own_tenant() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made").target("thing", 1))
        .await
        .unwrap();
    house
        .audit
        .record(&house.b, Event::new("thing.lost").target("thing", 1))
        .await
        .unwrap();

    let (of_a, of_b) = (house.entries(&house.a).await, house.entries(&house.b).await);
    assert_eq!(
        of_a.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(),
        ["thing.made"]
    );
    assert_eq!(
        of_b.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(),
        ["thing.lost"]
    );
    let other = house.log.get(&house.a, of_b[0].id).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::NotFound);

    // SQL that forgets every predicate, inside a tenant's context and outside of any.
    assert_eq!(
        house
            .as_app(&house.a, "SELECT FROM tenancy.audit_logs")
            .await,
        Ok(1)
    );
    let none = sqlx::query("SELECT FROM tenancy.audit_logs")
        .fetch_all(house.db.app.without_tenant())
        .await
        .unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn without_the_policy_the_other_tenant_shows() {
    let house = House::new().await;
    house
        .audit
        .record(&house.b, Event::new("thing.lost"))
        .await
        .unwrap();
    house
        .as_owner(
            "DROP POLICY tenant_select ON tenancy.audit_logs;
             CREATE POLICY tenant_select ON tenancy.audit_logs FOR SELECT TO tenancy_app USING (true);",
        )
        .await;
    assert_eq!(
        house
            .as_app(&house.a, "SELECT FROM tenancy.audit_logs")
            .await,
        Ok(1)
    );
    // The second check: the crate's own statements name the tenant, too.
    assert!(house.entries(&house.a).await.is_empty());
}

#[tokio::test]
async fn an_entry_is_signed_with_the_actor_of_its_context() {
    let house = House::new().await;
    let member = house.member(&house.a).await;
    let mut service = Principal::service(ServiceKey::from_static("importer"), vec![]);
    service.on_behalf_of = member.user();
    let service = house
        .db
        .app
        .enter_as(house.a.tenant(), service)
        .await
        .unwrap();
    let (actor, whom) = (house.a.user().unwrap(), member.user().unwrap());
    let support = testing::acting_for(&house.a, actor, whom);
    let key = ApiKeyId::new();
    let by_key = testing::imagined(house.a.tenant(), Principal::api_key(key, vec![]));
    for ctx in [&by_key, &member, &service, &support] {
        house
            .audit
            .record(ctx, Event::new("thing.made"))
            .await
            .unwrap();
    }

    let entries = house.entries(&house.a).await;
    let [by_support, by_service, by_member, by_key] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(
        (
            by_key.actor.kind.as_str(),
            by_key.actor.id.as_str(),
            by_key.actor.user
        ),
        ("api_key", key.to_string().as_str(), None)
    );
    assert_eq!(
        (by_member.actor.kind.as_str(), by_member.actor.user),
        ("user", member.user())
    );
    assert_eq!(by_member.actor.on_behalf_of, None);
    assert_eq!(
        (by_service.actor.kind.as_str(), by_service.actor.id.as_str()),
        ("service", "importer")
    );
    assert_eq!(by_service.actor.user, None);
    assert_eq!(by_service.actor.on_behalf_of, member.user());
    assert_eq!(by_support.actor.user, house.a.user());
    assert_eq!(by_support.actor.on_behalf_of, member.user());
    assert_eq!(by_support.request, Some(support.request_id()));
}

#[tokio::test]
async fn a_denial_outlives_the_rollback_of_what_was_denied() {
    let house = House::new().await;
    let sink: Arc<dyn AuditSink> = Arc::new(house.audit.clone());
    let authorizer = OwnerAuthorizer::new(house.db.app.clone(), sink);
    let member = house.member(&house.a).await;

    let mut tx = house.db.app.write(&member).await.unwrap();
    house
        .audit
        .record_in(&mut tx, Event::new("thing.made"))
        .await
        .unwrap();
    let denied = authorizer
        .require_key_in(&mut tx, &tenancy_audit::perm::AuditRead::KEY)
        .await
        .unwrap_err();
    assert_eq!(denied.code(), "permission_denied");
    tx.rollback().await.unwrap();

    let entries = house.entries(&house.a).await;
    assert_eq!(
        entries
            .iter()
            .map(|e| e.action.as_str())
            .collect::<Vec<_>>(),
        ["access.denied"]
    );
    assert_eq!(
        entries[0].resource.as_deref(),
        Some("permission:audit.read")
    );
}

#[tokio::test]
async fn a_change_and_its_entry_are_one() {
    let house = House::new().await;
    for commits in [false, true] {
        let mut tx = house.db.app.write(&house.a).await.unwrap();
        house
            .audit
            .record_in(&mut tx, Event::new("thing.made"))
            .await
            .unwrap();
        if commits {
            tx.commit().await.unwrap();
        }
        assert_eq!(house.entries(&house.a).await.len(), usize::from(commits));
    }
}

#[tokio::test]
async fn each_entry_of_a_transaction_has_a_time_of_its_own() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    for action in ["thing.begun", "thing.ended"] {
        house
            .audit
            .record_in(&mut tx, Event::new(action))
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    tx.commit().await.unwrap();
    let entries = house.entries(&house.a).await;
    assert!(entries[0].created_at > entries[1].created_at);
    assert!(entries[0].occurred_at() > entries[1].occurred_at());
}

#[tokio::test]
async fn an_event_that_is_refused_leaves_the_transaction_usable() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let huge = "x".repeat(10 << 20);
    for (event, code) in [
        (Event::new("no action"), "action_invalid"),
        (Event::new("a.b").meta("a", huge), "audit_meta_too_large"),
        (
            Event::new("a.b").target("a:b", 1),
            "audit_target_kind_invalid",
        ),
        (
            Event::new("a.b").target("a", "x".repeat(300)),
            "audit_target_too_long",
        ),
        (
            (0..33).fold(Event::new("a.b"), |event, at| event.target("thing", at)),
            "audit_targets_too_many",
        ),
    ] {
        let error = house.audit.record_in(&mut tx, event).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (tenancy_core::ErrorKind::InvalidInput, code)
        );
    }
    house
        .audit
        .record_in(&mut tx, Event::new("thing.made"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(house.entries(&house.a).await.len(), 1);
}

#[tokio::test]
async fn reading_and_exporting_need_their_permissions() {
    let house = House::new().await;
    let authorizer = FakeAuthorizer::new();
    let sink: Arc<dyn AuditSink> = Arc::new(house.audit.clone());
    let log = AuditLog::new(house.db.app.clone(), Arc::new(authorizer.clone()), sink);
    let query = AuditQuery::new();
    assert_eq!(
        log.search(&house.a, &query).await.unwrap_err().kind(),
        ErrorKind::Denied
    );
    assert_eq!(
        log.verify(&house.a, &query).await.unwrap_err().kind(),
        ErrorKind::Denied
    );
    let counted = log.count(&house.a, &query, CountBy::Total, 1).await;
    assert_eq!(counted.unwrap_err().kind(), ErrorKind::Denied);
    let tailed = log.tail(&house.a, &query).await;
    assert_eq!(tailed.unwrap_err().kind(), ErrorKind::Denied);

    authorizer.grant(&house.a, tenancy_audit::perm::AuditRead::KEY);
    assert!(log.search(&house.a, &query).await.is_ok());
    assert_eq!(
        log.export(&house.a, &query, ExportFormat::Ndjson)
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Denied
    );
    assert_eq!(
        log.search(&house.b, &query).await.unwrap_err().kind(),
        ErrorKind::Denied
    );
}

#[tokio::test]
async fn a_suspended_tenant_still_leaves_a_trail_and_can_be_audited() {
    let house = House::new().await;
    sqlx::query("UPDATE tenancy.tenants SET status = 'suspended_read_only' WHERE id = $1")
        .bind(house.a.tenant())
        .execute(&house.superuser().await)
        .await
        .unwrap();
    let ctx = house
        .db
        .app
        .enter(house.a.tenant(), house.a.user().unwrap())
        .await
        .unwrap();
    house
        .audit
        .record(&ctx, Event::new("access.denied"))
        .await
        .unwrap();
    assert_eq!(house.entries(&ctx).await.len(), 1);
}
