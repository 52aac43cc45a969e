//! What is past its time goes wherever it lies, or is named.

use crate::{
    policies::{actions, long_ago},
    retention::Kept,
    seals::{record, seal_all},
    verify::report,
};
use tenancy_audit::RetentionPolicy;

/// A log in which entries of long ago lie in the partition of no month.
async fn with_strays(kept: &Kept) {
    let house = &kept.house;
    let any_time = "ALTER TABLE tenancy.audit_logs DROP CONSTRAINT audit_logs_id_time";
    house.as_owner(any_time).await;
    for ctx in [&house.a, &house.b] {
        for (action, days) in [("thing.old", 500), ("thing.old", 400), ("thing.kept", 300)] {
            long_ago(kept, ctx, action, days).await;
        }
        record(house, ctx, 1).await;
    }
    let everything = RetentionPolicy::new(365, "kept for a year");
    kept.policies().set(&everything).await.unwrap();
}

#[tokio::test]
async fn entries_of_no_month_go_by_batches() {
    let kept = Kept::new().await;
    with_strays(&kept).await;
    let house = &kept.house;
    seal_all(house, &kept.sealer, 8).await;
    let hold = "INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')";
    let hold = sqlx::query(hold).bind(house.b.tenant());
    hold.execute(&house.superuser().await).await.unwrap();

    let applied = kept.retention.apply().await.unwrap();
    assert_eq!((applied.entries, applied.failed.len()), (2, 0));
    assert_eq!(applied.held, [house.b.tenant()]);
    assert_eq!(actions(&kept, &house.a).await, ["thing.made", "thing.kept"]);
    assert_eq!(actions(&kept, &house.b).await.len(), 4);
    let report = report(house, &house.a, &kept.keys).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(report.removed, 2);
}

#[tokio::test]
async fn entries_of_no_month_that_wait_for_their_seal_are_named() {
    let kept = Kept::new().await;
    with_strays(&kept).await;
    let applied = kept.retention.apply().await.unwrap();
    assert_eq!((applied.entries, applied.held.len()), (0, 0));
    let mut named: Vec<_> = applied
        .failed
        .iter()
        .map(|failed| (failed.tenant, failed.month, failed.error.code()))
        .collect();
    let mut expected: Vec<_> = [&kept.house.a, &kept.house.b]
        .map(|ctx| (Some(ctx.tenant()), None, "audit_month_unsealed"))
        .into();
    named.sort_unstable();
    expected.sort_unstable();
    assert_eq!(named, expected);
    // One that is not past its time is nothing to name.
    let longer = RetentionPolicy::new(600, "kept for longer");
    kept.policies().set(&longer).await.unwrap();
    assert!(kept.retention.apply().await.unwrap().failed.is_empty());
}

#[tokio::test]
async fn where_months_lie_side_by_side_nothing_is_looked_for_between_them() {
    let kept = Kept::new().await;
    let house = &kept.house;
    crate::retention::old_month(house).await;
    seal_all(house, &kept.sealer, 4).await;
    let mut owner = house.db.operator.owner().await.unwrap();
    let mut strays = async |before: &str| -> Vec<uuid::Uuid> {
        sqlx::query_scalar("SELECT tenancy.audit_stray_tenants($1::text::timestamptz, $2, 10)")
            .bind(before)
            .bind(uuid::Uuid::nil())
            .fetch_all(&mut *owner)
            .await
            .unwrap()
    };
    // They lie in the partition of March.
    assert!(strays("2025-06-01Z").await.is_empty());
    assert!(strays("infinity").await.is_empty());
    drop(owner);
    let renamed = "ALTER TABLE tenancy.audit_logs_y2025m03 RENAME TO parked";
    house.as_owner(renamed).await;
    let mut owner = house.db.operator.owner().await.unwrap();
    let strays: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT tenancy.audit_stray_tenants('2025-06-01Z', '00000000-0000-0000-0000-000000000000', 10)",
    )
    .fetch_all(&mut *owner)
    .await
    .unwrap();
    assert_eq!(strays.len(), 2, "what was attached by hand is no month's");
}
