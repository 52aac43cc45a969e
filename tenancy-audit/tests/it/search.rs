//! Filters, pages and verification on Postgres.

use crate::support::{House, meta_at};
use chrono::{TimeDelta, Utc};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};
use tenancy_audit::{
    ActionFilter, ActorFilter, AuditQuery, Change, Order, ResourceFilter, TimeRange, Verdict,
};
use tenancy_core::{AuditSink as _, Event, Outcome, RequestId, Target, TenantCtx};

async fn found(house: &House, ctx: &TenantCtx, query: &AuditQuery) -> Vec<i64> {
    house
        .log
        .search(ctx, query)
        .await
        .unwrap()
        .entries
        .iter()
        .map(meta_at)
        .collect()
}

/// Four entries of two actors, and one that looks the same in another tenant.
async fn record_samples(house: &House, member: &TenantCtx, request: RequestId) {
    let in_request = house.a.clone().with_request_id(request);
    let event = |action: &str, at: i64| Event::new(action).meta("at", at);
    let two_targets = event("template.read", 1)
        .target("template", 2)
        .target("user", 1);
    let gone = event("user.gone", 3).target("user", 1);
    for (ctx, event) in [
        (&house.a, event("template.made", 0).target("template", 1)),
        (member, two_targets),
        (member, event("templates.read", 2).outcome(Outcome::Denied)),
        (&in_request, gone.outcome(Outcome::Error)),
        (&house.b, event("template.made", 9).target("template", 1)),
    ] {
        house.audit.record(ctx, event).await.unwrap();
    }
}

#[tokio::test]
async fn filters_find_exactly_what_they_name() {
    let house = House::new().await;
    let (owner, member) = (&house.a, house.member(&house.a).await);
    let request = RequestId::new();
    record_samples(&house, &member, request).await;

    let all = AuditQuery::new;
    let user = |ctx: &TenantCtx| ActorFilter::User(ctx.user().unwrap());
    let exact = |action| all().with_action(ActionFilter::exact(action).unwrap());
    let prefix = |action| all().with_action(ActionFilter::prefix(action).unwrap());
    let kind = |kind: &str| all().with_resource(ResourceFilter::Kind(kind.to_owned()));
    let resource = ResourceFilter::Exact(Target::new("template", 1));
    let allowed = all().with_outcome(Outcome::Allowed);
    for (query, expected) in [
        (all(), vec![3, 2, 1, 0]),
        (all().with_order(Order::OldestFirst), vec![0, 1, 2, 3]),
        (all().with_limit(2), vec![3, 2]),
        (all().with_actor(user(owner)), vec![3, 0]),
        (all().with_actor(user(&member)), vec![2, 1]),
        (all().with_actor(user(&house.b)), vec![]),
        (exact("template.made"), vec![0]),
        (prefix("template."), vec![1, 0]),
        (prefix("template"), vec![2, 1, 0]),
        (all().with_resource(resource), vec![0]),
        (kind("template"), vec![1, 0]),
        (kind("templat"), vec![]),
        (all().with_target(Target::new("user", 1)), vec![3, 1]),
        (all().with_outcome(Outcome::Denied), vec![2]),
        (all().with_outcome(Outcome::Error), vec![3]),
        (all().with_request(request), vec![3]),
        (all().with_request(RequestId::new()), vec![]),
        (allowed.with_actor(user(&member)), vec![1]),
    ] {
        assert_eq!(found(&house, owner, &query).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn a_time_range_contains_its_beginning_and_not_its_end() {
    let house = House::new().await;
    for at in 0..3 {
        house
            .audit
            .record(&house.a, Event::new("thing.made").meta("at", at))
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let entries = house.entries(&house.a).await;
    let [third, second, first] = &entries[..] else {
        panic!("three entries")
    };
    assert!((third.created_at - third.occurred_at()).abs() < TimeDelta::seconds(60));
    let range =
        |from, to| AuditQuery::new().with_time(TimeRange::new().with_from(from).with_to(to));
    let (one, two, three) = (
        first.occurred_at(),
        second.occurred_at(),
        third.occurred_at(),
    );
    let milli = TimeDelta::milliseconds(1);
    for (query, expected) in [
        (range(one, three), vec![1, 0]),
        (range(one + milli, three + milli), vec![2, 1]),
        (range(two, two), vec![]),
        (range(three, one), vec![]),
        (
            range(
                Utc::now() + TimeDelta::hours(1),
                Utc::now() + TimeDelta::hours(2),
            ),
            vec![],
        ),
    ] {
        assert_eq!(found(&house, &house.a, &query).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn walking_the_pages_meets_every_entry_once_whatever_the_size() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let outcome = |at: i64| [Outcome::Allowed, Outcome::Denied][usize::from(at % 3 == 0)];
    let events = (0..60).map(|at| Event::new("thing.made").meta("at", at).outcome(outcome(at)));
    house
        .audit
        .record_batch_in(&mut tx, events.collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let runtime = tokio::runtime::Handle::current();
    let walks = tokio::task::spawn_blocking(move || {
        let strategy = (1_u16..70, any::<bool>(), any::<bool>());
        let mut runner = TestRunner::new(ProptestConfig {
            failure_persistence: None,
            cases: 40,
            ..ProptestConfig::default()
        });
        runner.run(&strategy, |(size, oldest_first, only_denied)| {
            let mut query = AuditQuery::new().with_limit(size);
            if oldest_first {
                query = query.with_order(Order::OldestFirst);
            }
            if only_denied {
                query = query.with_outcome(Outcome::Denied);
            }
            let mut expected: Vec<i64> = (0..60).filter(|at| !only_denied || at % 3 == 0).collect();
            if !oldest_first {
                expected.reverse();
            }
            let walked = runtime.block_on(async {
                let mut walked = Vec::new();
                loop {
                    let page = house.log.search(&house.a, &query).await.unwrap();
                    walked.extend(page.entries.iter().map(meta_at));
                    assert!(walked.len() <= 60, "an entry is on two pages");
                    let Some(next) = page.next else { return walked };
                    query.after = Some(next.to_string().parse().unwrap());
                }
            });
            prop_assert_eq!(walked, expected);
            Ok(())
        })
    });
    walks.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cursor_of_another_search_or_tenant_is_refused() {
    let house = House::new().await;
    for _ in 0..3 {
        house
            .audit
            .record(&house.a, Event::new("thing.made"))
            .await
            .unwrap();
    }
    let query = AuditQuery::new().with_limit(1);
    let cursor = house
        .log
        .search(&house.a, &query)
        .await
        .unwrap()
        .next
        .unwrap();
    let query = query.with_after(cursor);
    assert_eq!(
        house
            .log
            .search(&house.a, &query)
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
    let other = query.clone().with_outcome(Outcome::Allowed);
    for (ctx, query) in [(&house.a, &other), (&house.b, &query)] {
        let error = house.log.search(ctx, query).await.unwrap_err();
        assert_eq!(error.code(), "audit_cursor_mismatch");
    }
}

fn any_meta() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::num::f64::ANY.prop_map(Value::from),
        "[\\PC\\x00-\\x1f\"\\\\]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-zA-Z\\PC]{0,5}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

#[tokio::test]
async fn whatever_is_recorded_verifies_after_the_database_kept_it() {
    let house = House::new().await;
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = any_meta();
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let mut events = Vec::new();
    for _ in 0..600 {
        let value = strategy.new_tree(&mut runner).unwrap().current();
        events.push(
            Event::new("thing.made")
                .meta("value", value)
                .target("thing", "ä\0b"),
        );
    }
    house.audit.record_batch_in(&mut tx, events).await.unwrap();
    tx.commit().await.unwrap();
    let found = house
        .log
        .verify(&house.a, &AuditQuery::new())
        .await
        .unwrap();
    assert_eq!(
        (found.checked, found.changed, found.erased),
        (600, 0, 0),
        "{:?}",
        found.changes
    );
}

#[tokio::test]
async fn verifying_finds_what_was_changed_or_stripped_behind_the_back() {
    let house = House::new().await;
    for at in 0..6 {
        let mut event = Event::new("thing.made").meta("at", at);
        event.origin.ip = Some("192.0.2.1".to_owned());
        event.origin.user_agent = Some("curl/8".to_owned());
        house.audit.record(&house.a, event).await.unwrap();
    }
    let superuser = house.superuser().await;
    house
        .as_owner("DROP TRIGGER audit_append_only ON tenancy.audit_logs")
        .await;
    for change in [
        "UPDATE tenancy.audit_logs SET meta = '{\"at\": 100}' WHERE meta @> '{\"at\": 0}'",
        "UPDATE tenancy.audit_logs SET outcome = 'denied' WHERE meta @> '{\"at\": 1}'",
        "UPDATE tenancy.audit_logs SET personal = jsonb_set(personal, '{ip,1}', '\"::1\"') WHERE meta @> '{\"at\": 2}'",
        "UPDATE tenancy.audit_logs SET personal = personal - 'ip' WHERE meta @> '{\"at\": 3}'",
        "UPDATE tenancy.audit_logs SET personal = '{}' WHERE meta @> '{\"at\": 4}'",
    ] {
        let done = sqlx::query(change).execute(&superuser).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{change}");
    }
    let query = AuditQuery::new().with_order(Order::OldestFirst);
    let found = house.log.verify(&house.a, &query).await.unwrap();
    assert_eq!((found.checked, found.changed, found.erased), (6, 5, 0));
    let stripped =
        |names: &[&str]| Change::Stripped(names.iter().map(|name| (*name).to_owned()).collect());
    let changes: Vec<_> = found
        .changes
        .into_iter()
        .map(|(_, change)| change)
        .collect();
    assert_eq!(
        changes,
        [
            Change::Content,
            Change::Content,
            Change::Personal("ip".to_owned()),
            stripped(&["ip"]),
            stripped(&["ip", "user_agent"]),
        ]
    );

    let entries = house.log.search(&house.a, &query).await.unwrap().entries;
    assert!(!entries[3].verify().is_intact());
    assert_eq!(
        (
            entries[3].origin().ip,
            entries[3].origin().user_agent.as_deref()
        ),
        (None, Some("curl/8"))
    );
    assert_eq!(entries[5].verify(), Verdict::Intact);
    assert_eq!(entries[5].meta["at"], json!(5));
}

#[tokio::test]
async fn an_export_is_recorded_first_complete_and_the_same_every_time() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let events = (0..2_500).map(|at| Event::new("thing.made").meta("b", 1.50).meta("at", at));
    house
        .audit
        .record_batch_in(&mut tx, events.collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    house
        .audit
        .record(&house.b, Event::new("thing.private"))
        .await
        .unwrap();

    let made = AuditQuery::new().with_action(ActionFilter::exact("thing.made").unwrap());
    let mut texts = Vec::new();
    for _ in 0..2 {
        let mut export = house.log.export(&house.a, &made).await.unwrap();
        let newest = &house.entries(&house.a).await[0];
        assert_eq!(
            newest.action, "audit.exported",
            "before anything is handed out"
        );
        assert_eq!(newest.meta["filters"], json!({ "action": "thing.made" }));
        let mut text = String::new();
        while let Some(lines) = export.next_lines().await.unwrap() {
            text.push_str(&lines);
        }
        texts.push(text);
    }
    assert_eq!(texts[0], texts[1]);
    let lines: Vec<Value> = texts[0]
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(at, line)| line["meta"]["at"] == json!(at))
    );
    assert_eq!(lines.len(), 2_500);
    assert!(
        lines
            .iter()
            .all(|line| line["tenant_id"] == json!(house.a.tenant()))
    );
}
