//! A log of years is read as a whole, and a page of it does not ask about years.

use std::time::Duration;

use crate::support::{House, meta_at};
use sqlx::{AssertSqlSafe, Row as _};
use tenancy_audit::{
    ActionFilter, ActorFilter, AuditQuery, AuditStore as _, Order, Page, PgAuditStore,
    ResourceFilter, SearchText, TimeRange,
};
use tenancy_core::{DbOptions, Outcome, RequestId, Target, TenantCtx, TenantDb, UserId};

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

/// What a search finds on a connection of its own, and how often it asked about a month long ago: a backend tells what
/// it counted when it ends at the latest.
async fn asked(house: &House, query: &AuditQuery) -> (Page, i64) {
    let superuser = house.superuser().await;
    let sql = "SELECT coalesce(sum(idx_scan + seq_scan), 0)::bigint,
            (SELECT count(*) FROM pg_stat_activity WHERE usename = 'tenancy_dev_app' AND application_name = 'asks')
        FROM pg_stat_user_tables WHERE relname IN ('audit_logs_back_20', 'audit_logs_default')";
    let told = async || {
        loop {
            let (asked, there): (i64, i64) =
                sqlx::query_as(sql).fetch_one(&superuser).await.unwrap();
            if there == 0 {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let before = told().await;
    let options = DbOptions::default().with_max_connections(1);
    let url = house.db.server.app_url();
    let sign = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{sign}application_name=asks");
    let db = TenantDb::connect_with(&url, options).await.unwrap();
    let page = PgAuditStore::new(db.clone()).search(&house.a, query).await;
    db.without_tenant().close().await;
    (page.unwrap(), told().await - before)
}

#[tokio::test]
async fn a_page_asks_about_the_months_near_it() {
    let house = House::new().await;
    let superuser = house.superuser().await;
    sqlx::raw_sql(PLANTED).execute(&superuser).await.unwrap();
    let full = |action: &str| {
        let query = AuditQuery::new().with_limit(20);
        match action {
            "" => query,
            action => query.with_action(ActionFilter::exact(action).unwrap()),
        }
    };
    for action in ["", "thing.made"] {
        let (page, far) = asked(&house, &full(action)).await;
        assert_eq!((page.entries.len(), far), (20, 0), "{action}");
        let mut next = full(action).with_limit(10);
        next.after = page.next;
        let (page, far) = asked(&house, &next).await;
        assert_eq!((page.entries.len(), far), (10, 0), "{action}");
    }
    // Where a page is not full there, the rest of the log is asked.
    let (page, far) = asked(&house, &full("thing.lost")).await;
    assert!(page.entries.len() == 11 && far > 0, "{far}");
}

/// How what a search has left prepared on its connection is planned for any value.
async fn planned(house: &House, ctx: &TenantCtx, query: &AuditQuery) -> String {
    let options = DbOptions::default().with_max_connections(1);
    let db = TenantDb::connect_with(house.db.server.app_url(), options);
    let db = db.await.unwrap();
    let found = PgAuditStore::new(db.clone()).search(ctx, query).await;
    found.unwrap();
    let mut tx = db.read(ctx).await.unwrap();
    let prepared = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%LIMIT $4%' AND statement NOT LIKE '%pg_prepared%'";
    let statement: String = sqlx::query_scalar(prepared)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let explain = format!("SET LOCAL enable_sort = off; EXPLAIN (GENERIC_PLAN) {statement}");
    let lines = sqlx::raw_sql(AssertSqlSafe(explain))
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    let lines: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
    lines.join("\n")
}

#[tokio::test]
async fn one_filter_reads_the_index_of_that_filter_whatever_the_planner_expects() {
    let house = House::new().await;
    let superuser = house.superuser().await;
    sqlx::raw_sql(PLANTED).execute(&superuser).await.unwrap();
    // Of indexes in which it expects to find as much, the planner takes the newest.
    sqlx::query("REINDEX INDEX CONCURRENTLY tenancy.audit_logs_back_20_pkey")
        .execute(&superuser)
        .await
        .unwrap();
    let query = AuditQuery::new;
    let action = ActionFilter::exact("thing.no").unwrap();
    let resource = ResourceFilter::Exact(Target::new("thing", "no"));
    for (index, query) in [
        ("_pkey", query()),
        (
            "_actor_id_",
            query().with_actor(ActorFilter::User(UserId::new())),
        ),
        ("_action_", query().with_action(action)),
        ("_resource_", query().with_resource(resource)),
        ("_outcome_", query().with_outcome(Outcome::Denied)),
        ("_outcome_", query().with_outcome(Outcome::Error)),
        ("_request_id_", query().with_request(RequestId::new())),
    ] {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            // Not full near its beginning, so that the rest is asked.
            let query = query.clone().with_limit(1_000).with_order(order);
            let plan = planned(&house, &house.a, &query).await;
            let scans: Vec<&str> = plan
                .lines()
                .filter(|line| line.contains(" on audit_logs"))
                .collect();
            assert!(scans.len() > 36, "{plan}");
            for scan in scans {
                let backward = order == Order::NewestFirst;
                assert!(scan.contains(index), "{index}: {scan}");
                assert_eq!(scan.contains("Index Scan Backward"), backward, "{scan}");
            }
            assert!(!plan.contains("Sort  ("), "{plan}");
        }
    }
}
