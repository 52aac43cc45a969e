//! A log of years is read as a whole, and a page of it does not ask about years.

use std::time::Duration;

use crate::support::{House, meta_at};
use sqlx::PgPool;
use tenancy_audit::{ActionFilter, AuditQuery, Order, SearchText, TimeRange};

/// Entries of 1,100 days in months of their own, the older the fewer: 20 today, and one for each day before.
/// `at` counts from the newest.
const PLANTED: &str = "
DO $$
BEGIN
    FOR back IN 2 .. 38 LOOP
        EXECUTE format('CREATE TABLE tenancy.audit_logs_back_%s PARTITION OF tenancy.audit_logs FOR VALUES FROM (%L) TO (%L)',
            back,
            tenancy.uuid_v7_floor((date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => back)) AT TIME ZONE 'UTC'),
            tenancy.uuid_v7_floor((date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => back - 1)) AT TIME ZONE 'UTC'));
    END LOOP;
END
$$;
INSERT INTO tenancy.audit_logs (tenant_id, id, actor_kind, actor_id, action, outcome, meta, schema_version, content_hash, created_at)
SELECT t.id, overlay(tenancy.uuid_v7_floor(made.at)::text PLACING '7' FROM 15)::uuid, 'service', 'x',
    CASE WHEN n % 100 = 99 THEN 'thing.lost' ELSE 'thing.made' END, 'allowed', jsonb_build_object('at', n), 1, sha256('x'), made.at
FROM tenancy.tenants t, generate_series(0, 1119) n,
    LATERAL (SELECT now() - n * interval '1 second' - greatest(0, n - 19) * interval '1 day' AS at) made;
ANALYZE tenancy.audit_logs;";

async fn walk(house: &House, mut query: AuditQuery) -> Vec<i64> {
    let mut found = Vec::new();
    loop {
        let page = house.log.search(&house.a, &query).await.unwrap();
        assert!(page.entries.len() <= 50);
        found.extend(page.entries.iter().map(meta_at));
        let Some(next) = page.next else { return found };
        query.after = Some(next);
    }
}

#[tokio::test]
async fn every_entry_of_a_log_of_years_is_on_one_page() {
    let house = House::new().await;
    let superuser = house.superuser().await;
    sqlx::raw_sql(PLANTED).execute(&superuser).await.unwrap();
    let all: Vec<i64> = (0..1_120).collect();
    let lost: Vec<i64> = all.iter().copied().filter(|at| at % 100 == 99).collect();
    let newest = house.log.search(&house.a, &AuditQuery::new()).await;
    let long_before = newest.unwrap().entries[40].occurred_at();
    let since = TimeRange::new().with_from(long_before);
    let before = TimeRange::new().with_to(long_before);
    let query = AuditQuery::new;
    let rare = || query().with_action(ActionFilter::exact("thing.lost").unwrap());
    let text = || query().with_text(SearchText::parse("thing.lost").unwrap());
    for (name, query, expected) in [
        ("all", query(), &all[..]),
        ("all, a few a page", query().with_limit(13), &all[..]),
        ("a rare action", rare(), &lost[..]),
        (
            "a rare action, a few a page",
            rare().with_limit(2),
            &lost[..],
        ),
        ("a text", text().with_limit(3), &lost[..]),
        ("since then", query().with_time(since), &all[..=40]),
        (
            "before",
            query().with_time(before).with_limit(50),
            &all[41..],
        ),
    ] {
        assert_eq!(walk(&house, query.clone()).await, expected, "{name}");
        let mut oldest_first = expected.to_vec();
        oldest_first.reverse();
        let query = query.with_order(Order::OldestFirst);
        assert_eq!(walk(&house, query).await, oldest_first, "{name}");
    }
}

/// How often an index of a month long ago was asked.
async fn asked(superuser: &PgPool) -> i64 {
    // What a backend counted is told within a second of its last statement.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let sql = "SELECT coalesce(sum(idx_scan + seq_scan), 0)::bigint FROM pg_stat_user_tables
        WHERE relname IN ('audit_logs_back_20', 'audit_logs_default')";
    sqlx::query_scalar(sql).fetch_one(superuser).await.unwrap()
}

#[tokio::test]
async fn a_page_asks_about_the_months_near_it() {
    let house = House::new().await;
    let superuser = house.superuser().await;
    sqlx::raw_sql(PLANTED).execute(&superuser).await.unwrap();
    let before = asked(&superuser).await;
    let full = AuditQuery::new().with_limit(20);
    for _ in 0..5 {
        let page = house.log.search(&house.a, &full).await.unwrap();
        assert_eq!(page.entries.len(), 20);
        let mut next = full.clone().with_limit(10);
        next.after = page.next;
        let page = house.log.search(&house.a, &next).await.unwrap();
        assert_eq!(page.entries.len(), 10);
    }
    assert_eq!(asked(&superuser).await, before);
    // Where a page is not full there, the rest of the log is asked.
    let rare = ActionFilter::exact("thing.lost").unwrap();
    let rare = AuditQuery::new().with_action(rare);
    house.log.search(&house.a, &rare).await.unwrap();
    assert!(asked(&superuser).await > before);
}
