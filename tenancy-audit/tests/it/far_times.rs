//! Times at the ends of what a calendar has remove nothing by mistake, and end no program.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::{
    retention::Kept,
    seals::{record, seal_all},
};
use tenancy_audit::{RetentionPolicy, RetentionRule};

#[tokio::test]
async fn a_time_before_the_first_id_is_a_time_before_every_entry() {
    let kept = Kept::new().await;
    let house = &kept.house;
    record(house, &house.a, 3).await;
    seal_all(house, &kept.sealer, 3).await;
    let before = |at: DateTime<Utc>| RetentionRule::new(house.a.tenant(), at, "past its time");
    for at in [
        DateTime::<Utc>::MIN_UTC,
        DateTime::UNIX_EPOCH - TimeDelta::days(30_000),
        DateTime::UNIX_EPOCH - TimeDelta::milliseconds(1),
        DateTime::UNIX_EPOCH,
        Utc::now() - TimeDelta::days(36_500),
    ] {
        let removed = kept.retention.remove(&before(at)).await.unwrap();
        assert_eq!(removed, 0, "{at}");
    }
    // The longest policies reach back to before 1970.
    let longest = RetentionPolicy::new(36_500, "a century").with_tenant(house.a.tenant());
    kept.policies().set(&longest).await.unwrap();
    let applied = kept.retention.apply().await.unwrap();
    assert_eq!((applied.entries, applied.failed.len()), (0, 0));
    assert_eq!(house.entries(&house.a).await.len(), 3);

    let last = before(DateTime::<Utc>::MAX_UTC);
    assert_eq!(kept.retention.remove(&last).await.unwrap(), 3);
}

#[tokio::test]
async fn the_id_of_a_time_is_in_the_order_of_times() {
    let house = crate::support::House::new().await;
    let floors: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT tenancy.uuid_v7_floor(at) FROM unnest(ARRAY['-infinity', '4713-01-01 BC', '1969-12-31 23:59:59.999Z',
            '1970-01-01Z', '1970-01-01 00:00:00.001Z', '2026-01-01Z', '9999-01-01Z', '10889-08-02Z', '10895-01-01Z',
            '200000-01-01Z', 'infinity']::timestamptz[]) WITH ORDINALITY AS t (at, n) ORDER BY n",
    )
    .fetch_all(&house.superuser().await)
    .await
    .unwrap();
    assert!(floors.is_sorted(), "{floors:?}");
    assert_eq!(
        (floors[2], floors[4].as_u128() >> 80),
        (uuid::Uuid::nil(), 1)
    );
    assert_eq!(floors[10].as_u128() >> 80, (1 << 48) - 1);
}

#[tokio::test]
async fn a_month_at_the_ends_of_the_calendar_is_refused_as_any_other() {
    let kept = Kept::new().await;
    for (month, code) in [
        (NaiveDate::MAX, "audit_month_recent"),
        (
            NaiveDate::from_ymd_opt(9999, 12, 31).unwrap(),
            "audit_month_recent",
        ),
        (
            NaiveDate::from_ymd_opt(1969, 12, 31).unwrap(),
            "audit_month_unknown",
        ),
        (
            NaiveDate::from_ymd_opt(-5_000, 1, 1).unwrap(),
            "audit_month_unknown",
        ),
        (NaiveDate::MIN, "audit_month_unknown"),
    ] {
        let refused = kept.retention.drop_month(month, "x").await.unwrap_err();
        assert_eq!(refused.code(), code, "{month}");
    }
}

#[tokio::test]
async fn a_partition_of_a_month_that_no_calendar_has_stops_no_other() {
    let kept = Kept::new().await;
    let house = &kept.house;
    let far = "CREATE TABLE tenancy.audit_logs_y262142m12 PARTITION OF tenancy.audit_logs
        FOR VALUES FROM ('f0000000-0000-0000-0000-000000000000') TO ('f0000000-0000-0000-0000-000000000001')";
    house.as_owner(far).await;
    crate::retention::old_month(house).await;
    seal_all(house, &kept.sealer, 4).await;
    let everything = RetentionPolicy::new(365, "kept for a year");
    kept.policies().set(&everything).await.unwrap();
    let applied = kept.retention.apply().await.unwrap();
    assert_eq!((applied.entries, applied.months.len()), (4, 1));
}
