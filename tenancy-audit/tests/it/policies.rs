//! How long entries are kept is data; a legal hold goes before it.

use chrono::{TimeDelta, Utc};

use crate::{
    retention::Kept,
    seals::{record, seal_all},
    verify::report,
};
use tenancy_audit::{
    ActionFilter, AuditEntryId, AuditStore as _, RetentionPolicies, RetentionPolicy,
};
use tenancy_core::{AuditSink as _, Event, TenantCtx};

/// Entries as they would have been recorded so many days ago.
pub(crate) async fn long_ago(kept: &Kept, ctx: &TenantCtx, action: &str, days: i64) {
    let house = &kept.house;
    house.audit.record(ctx, Event::new(action)).await.unwrap();
    let mut record = house.entries(ctx).await.remove(0).into_record();
    crate::retention::take_away(house, record.id).await;
    let at = u128::try_from((Utc::now() - TimeDelta::days(days)).timestamp_millis()).unwrap();
    let random = record.id.as_uuid().as_u128() & ((1 << 80) - 1);
    record.id = AuditEntryId::from_uuid(uuid::Uuid::from_u128(at << 80 | random));
    record.content_hash = record.hash();
    let mut tx = house.db.app.write(ctx).await.unwrap();
    house
        .store()
        .append_in(&mut tx, &[record.into()])
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

pub(crate) async fn actions(kept: &Kept, ctx: &TenantCtx) -> Vec<String> {
    let entries = kept.house.entries(ctx).await;
    let actions = entries.iter().map(|entry| entry.action.clone());
    actions
        .filter(|action| action != "audit.exported")
        .collect()
}

#[tokio::test]
async fn policies_are_applied_and_what_is_left_verifies() {
    let kept = Kept::new().await;
    let (house, retention) = (&kept.house, &kept.retention);
    let policies = RetentionPolicies::new(house.db.operator.clone());
    house
        .as_owner("ALTER TABLE tenancy.audit_logs DROP CONSTRAINT audit_logs_id_time")
        .await;
    for ctx in [&house.a, &house.b] {
        for (action, days) in [
            ("login.begun", 9),
            ("login.begun", 3),
            ("thing.made", 9),
            ("thing.seen", 40),
        ] {
            long_ago(&kept, ctx, action, days).await;
        }
        record(house, ctx, 1).await;
    }
    seal_all(house, &kept.sealer, 10).await;

    let (a, b) = (house.a.tenant(), house.b.tenant());
    let everything = RetentionPolicy::new(365, "kept for a year");
    policies.set(&everything).await.unwrap();
    let longer = RetentionPolicy::new(366, "too long").with_tenant(a);
    let refused = policies.set(&longer).await.unwrap_err();
    assert_eq!(refused.code(), "audit_policy_longer");
    let logins = ActionFilter::prefix("login.").unwrap();
    let of_all = RetentionPolicy::new(7, "logins are kept for a week").with_action(logins.clone());
    policies.set(&of_all).await.unwrap();
    let of_b = RetentionPolicy::new(30, "a contract").with_tenant(b);
    policies.set(&of_b).await.unwrap();
    let listed = policies.list().await.unwrap();
    let days: Vec<u32> = listed.iter().map(|policy| policy.keep_days).collect();
    assert_eq!((days, listed[2].tenant), (vec![365, 7, 30], Some(b)));

    let hold = "INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')";
    sqlx::query(hold)
        .bind(a)
        .execute(&house.superuser().await)
        .await
        .unwrap();
    let applied = retention.apply().await.unwrap();
    assert_eq!(applied.held, [a]);
    assert_eq!((applied.entries, applied.failed.len()), (2, 0));
    assert!(!applied.cut_short);
    assert_eq!(
        actions(&kept, &house.a).await.len(),
        5,
        "a hold goes before any policy"
    );
    let kept_of_b = actions(&kept, &house.b).await;
    assert_eq!(kept_of_b, ["thing.made", "login.begun", "thing.made"]);

    let lift = "DELETE FROM tenancy.tenant_holds WHERE tenant_id = $1";
    sqlx::query(lift)
        .bind(a)
        .execute(&house.superuser().await)
        .await
        .unwrap();
    assert!(policies.unset(Some(b), None).await.unwrap());
    assert!(!policies.unset(Some(b), None).await.unwrap());
    let applied = retention.apply().await.unwrap();
    assert_eq!((applied.entries, applied.held.len()), (1, 0));
    assert_eq!(
        actions(&kept, &house.a).await.len(),
        4,
        "only the old login went"
    );
    for (ctx, removed) in [(&house.a, 1), (&house.b, 2)] {
        let report = report(house, ctx, &kept.keys).await;
        assert!(report.is_intact(), "{:?}", report.findings);
        assert_eq!(report.removed, removed);
    }
    for (days, reason, code) in [
        (0, "x", "audit_policy_days"),
        (7, "", "audit_reason_invalid"),
    ] {
        let refused = policies
            .set(&RetentionPolicy::new(days, reason))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), code);
    }
}

#[tokio::test]
async fn a_month_goes_as_a_whole_unless_a_hold_keeps_it_for_one_tenant() {
    let kept = Kept::new().await;
    let (house, retention) = (&kept.house, &kept.retention);
    let policies = RetentionPolicies::new(house.db.operator.clone());
    crate::retention::old_month(house).await;
    record(house, &house.b, 1).await;
    seal_all(house, &kept.sealer, 5).await;
    let a = house.a.tenant();
    let everything = RetentionPolicy::new(365, "kept for a year");
    policies.set(&everything).await.unwrap();
    let hold = "INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')";
    let superuser = house.superuser().await;
    sqlx::query(hold).bind(a).execute(&superuser).await.unwrap();
    let applied = retention.apply().await.unwrap();
    assert_eq!(
        (applied.entries, applied.months.len()),
        (2, 0),
        "the other tenant's went"
    );
    assert_eq!(applied.held, [a]);
    assert_eq!(actions(&kept, &house.a).await.len(), 2);

    let release = "DELETE FROM tenancy.tenant_holds WHERE tenant_id = $1";
    sqlx::query(release)
        .bind(a)
        .execute(&superuser)
        .await
        .unwrap();
    let applied = retention.apply().await.unwrap();
    let march = chrono::NaiveDate::from_ymd_opt(2025, 3, 1).unwrap();
    assert_eq!((applied.entries, &applied.months[..]), (2, &[march][..]));
    for (ctx, entries) in [(&house.a, 0), (&house.b, 1)] {
        let report = report(house, ctx, &kept.keys).await;
        assert!(report.is_intact(), "{:?}", report.findings);
        assert_eq!((report.removed, report.entries), (2, entries));
    }
    assert_eq!(retention.apply().await.unwrap().entries, 0);
}

#[tokio::test]
async fn a_month_waits_for_streams_and_goes_without_them_after_their_days() {
    let kept = Kept::new().await;
    let (house, retention) = (&kept.house, &kept.retention);
    let policies = RetentionPolicies::new(house.db.operator.clone());
    crate::retention::old_month(house).await;
    seal_all(house, &kept.sealer, 4).await;
    let behind = "INSERT INTO tenancy.audit_streams (name, at_txid) VALUES ('siem', '0')";
    let superuser = house.superuser().await;
    sqlx::query(behind).execute(&superuser).await.unwrap();
    let everything = RetentionPolicy::new(365, "kept for a year");
    policies.set(&everything).await.unwrap();

    let patient = retention.clone().with_stream_days(u16::MAX);
    let applied = patient.apply().await.unwrap();
    assert_eq!((applied.entries, applied.months.len()), (0, 0));
    let march = chrono::NaiveDate::from_ymd_opt(2025, 3, 1).unwrap();
    let [failure] = &applied.failed[..] else {
        panic!("{applied:?}")
    };
    assert_eq!((failure.month, failure.tenant), (Some(march), None));
    assert_eq!(failure.error.code(), "audit_undelivered");
    let refused = retention.drop_month(march, "by hand").await.unwrap_err();
    assert_eq!(refused.code(), "audit_undelivered");

    let applied = retention.apply().await.unwrap();
    assert_eq!((applied.entries, &applied.months[..]), (4, &[march][..]));
    let [missed] = &applied.undelivered[..] else {
        panic!("{applied:?}")
    };
    assert_eq!((missed.stream.as_str(), missed.entries), ("siem", 4));
    assert!(applied.failed.is_empty());
}
