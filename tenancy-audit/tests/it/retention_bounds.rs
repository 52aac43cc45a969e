//! What retention takes along, what it waits for, and how much it reads.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{NaiveDate, TimeDelta, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::sync::Notify;

use crate::{
    retention::{Kept, old_month},
    seals::{record, seal_all, signer},
    support::House,
};
use tenancy_audit::{
    ActionFilter, Ed25519Signer, Error, ErrorKind, Retention, RetentionRule, SealSignature,
    SealSigner, Sealer,
};
use tenancy_core::{AuditSink as _, Event, HoldReference, Platform, ServiceKey, TenantCtx};

fn all_of(ctx: &TenantCtx) -> RetentionRule {
    let before = Utc::now() + TimeDelta::minutes(1);
    RetentionRule::new(ctx.tenant(), before, "past its time")
}

#[tokio::test]
async fn an_exact_action_takes_no_longer_one_along() {
    let kept = Kept::new().await;
    let house = &kept.house;
    let actions = [
        "login.begun",
        "login.begun_again",
        "login.begun.twice",
        "login.begunx",
        "login_x.begun",
        "loginax.begun",
        "log.begun",
    ];
    for action in actions {
        house
            .audit
            .record(&house.a, Event::new(action))
            .await
            .unwrap();
    }
    seal_all(house, &kept.sealer, 7).await;
    let exact = |action| ActionFilter::exact(action).unwrap();
    let prefix = |action| ActionFilter::prefix(action).unwrap();
    for (action, gone, left) in [
        (exact("login.begun"), 1, vec![1, 2, 3, 4, 5, 6]),
        (exact("login_x.begun"), 1, vec![1, 2, 3, 5, 6]),
        (prefix("login.begun_"), 1, vec![2, 3, 5, 6]),
        (prefix("login."), 2, vec![5, 6]),
        (prefix("log"), 2, vec![]),
    ] {
        let rule = all_of(&house.a).with_action(action.clone());
        assert_eq!(
            kept.retention.remove(&rule).await.unwrap(),
            gone,
            "{action:?}"
        );
        let mut names: Vec<String> = house
            .entries(&house.a)
            .await
            .iter()
            .map(|entry| entry.action.clone())
            .collect();
        names.reverse();
        let left: Vec<&str> = left.into_iter().map(|at: usize| actions[at]).collect();
        assert_eq!(names, left, "{action:?}");
    }
}

/// Signs when it is let.
struct Gated {
    inner: Arc<Ed25519Signer>,
    reached: Notify,
    open: Notify,
}

impl Gated {
    fn new(inner: Arc<Ed25519Signer>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            reached: Notify::new(),
            open: Notify::new(),
        })
    }
}

#[async_trait]
impl SealSigner for Gated {
    fn key_name(&self) -> String {
        self.inner.key_name()
    }

    async fn sign(&self, message: &[u8]) -> Result<SealSignature, Error> {
        self.reached.notify_one();
        self.open.notified().await;
        self.inner.sign(message).await
    }
}

/// Places a hold as the platform does.
async fn hold(house: Arc<House>, ctx: TenantCtx) -> bool {
    let audit = Arc::new(house.audit.clone());
    let platform = Platform::new(house.db.app.clone(), ServiceKey::from_static("desk"), audit);
    let case = HoldReference::parse("case 7").unwrap();
    platform.hold(ctx.tenant(), &case).await.unwrap()
}

#[tokio::test]
async fn a_hold_that_is_placed_during_a_removal_stands_before_the_next() {
    let house = Arc::new(House::new().await);
    let (inner, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), inner.clone());
    record(&house, &house.a, 3).await;
    seal_all(&house, &sealer, 3).await;
    let gated = Gated::new(inner);
    let retention = Retention::new(house.db.operator.clone(), gated.clone(), keys);
    let removing = tokio::spawn({
        let (retention, rule) = (retention.clone(), all_of(&house.a));
        async move { retention.remove(&rule).await }
    });
    gated.reached.notified().await;
    // The removal is in the middle of its transaction: whoever places the hold waits for its end.
    let holding = tokio::spawn(hold(house.clone(), house.a.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!holding.is_finished(), "a hold that keeps nothing");
    gated.open.notify_one();
    match removing.await.unwrap() {
        Ok(removed) => assert_eq!(removed, 3),
        // It stands before the look for more.
        Err(error) => assert_eq!(error.code(), "audit_held"),
    }
    assert!(holding.await.unwrap());
    let left = house.entries(&house.a).await;
    assert!(
        left.iter().all(|entry| entry.action != "thing.made"),
        "{left:?}"
    );

    record(&house, &house.a, 2).await;
    let before = crate::seals::sealed(&house.superuser().await).await;
    seal_all(&house, &sealer, before + 2).await;
    let held = retention.remove(&all_of(&house.a)).await.unwrap_err();
    assert_eq!(held.code(), "audit_held");
    let left = house.entries(&house.a).await;
    let made = left.iter().filter(|entry| entry.action == "thing.made");
    assert_eq!(made.count(), 2);
}

/// A hold that is being placed, and stands when this is committed.
async fn placing(house: &House, ctx: &TenantCtx) -> Transaction<'static, Postgres> {
    let mut holding = house.superuser().await.begin().await.unwrap();
    for sql in [
        "SELECT FROM tenancy.tenants WHERE id = $1 FOR NO KEY UPDATE",
        "INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')",
    ] {
        let place = sqlx::query(sql).bind(ctx.tenant());
        place.execute(&mut *holding).await.unwrap();
    }
    holding
}

#[tokio::test]
async fn a_removal_waits_for_a_hold_that_is_being_placed() {
    let kept = Kept::new().await;
    let house = &kept.house;
    record(house, &house.a, 3).await;
    seal_all(house, &kept.sealer, 3).await;
    let holding = placing(house, &house.a).await;
    let removing = tokio::spawn({
        let (retention, rule) = (kept.retention.clone(), all_of(&house.a));
        async move { retention.remove(&rule).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!removing.is_finished());
    holding.commit().await.unwrap();
    let held = removing.await.unwrap().unwrap_err();
    assert_eq!(held.code(), "audit_held");
    assert_eq!(house.entries(&house.a).await.len(), 3);
}

const MONTH: &str = "tenancy.audit_logs_y2025m03";

async fn one<T>(house: &House, sql: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let asked = sqlx::query_scalar(sql);
    asked.fetch_one(&house.superuser().await).await.unwrap()
}

const THERE: &str = "SELECT to_regclass('tenancy.audit_logs_y2025m03')::text";
const REMOVALS: &str = "SELECT count(*) FROM tenancy.audit_removals";

fn march() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 3, 1).unwrap()
}

#[tokio::test]
async fn a_month_waits_for_a_hold_that_is_being_placed_on_any_of_its_tenants() {
    let kept = Kept::new().await;
    let house = &kept.house;
    old_month(house).await;
    seal_all(house, &kept.sealer, 4).await;
    for ctx in [&house.a, &house.b] {
        let holding = placing(house, ctx).await;
        let dropping = tokio::spawn({
            let retention = kept.retention.clone();
            async move { retention.drop_month(march(), "24 months").await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!dropping.is_finished());
        holding.commit().await.unwrap();
        let held = dropping.await.unwrap().unwrap_err();
        assert_eq!(held.code(), "audit_held");
        assert!(
            held.to_string().contains(&ctx.tenant().to_string()),
            "{held}"
        );
        assert_eq!(
            one::<Option<String>>(house, THERE).await.as_deref(),
            Some(MONTH)
        );
        assert_eq!(one::<i64>(house, REMOVALS).await, 0);
        for of in [&house.a, &house.b] {
            assert_eq!(house.entries(of).await.len(), 2);
        }
        sqlx::raw_sql("DELETE FROM tenancy.tenant_holds")
            .execute(&house.superuser().await)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_hold_waits_for_a_month_that_is_being_dropped() {
    let house = Arc::new(House::new().await);
    let (inner, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), inner.clone());
    old_month(&house).await;
    seal_all(&house, &sealer, 4).await;
    let gated = Gated::new(inner);
    let retention = Retention::new(house.db.operator.clone(), gated.clone(), keys);
    let dropping = tokio::spawn(async move { retention.drop_month(march(), "24 months").await });
    gated.reached.notified().await;
    let holding = tokio::spawn(hold(house.clone(), house.b.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!holding.is_finished(), "a hold that keeps nothing");
    // A removal for each of the two tenants.
    gated.open.notify_one();
    gated.reached.notified().await;
    assert!(!holding.is_finished());
    gated.open.notify_one();
    let dropped = dropping.await.unwrap().unwrap();
    assert_eq!((dropped.tenants, dropped.entries), (2, 4));
    assert!(holding.await.unwrap());
    assert_eq!(one::<Option<String>>(&house, THERE).await, None);
    assert_eq!(one::<i64>(&house, REMOVALS).await, 2);
}

#[tokio::test]
async fn a_month_is_gone_when_it_is_dropped_and_stays_as_long_as_somebody_reads_it() {
    let kept = Kept::new().await;
    let house = &kept.house;
    old_month(house).await;
    seal_all(house, &kept.sealer, 4).await;
    for mode in ["ACCESS SHARE", "ROW EXCLUSIVE"] {
        let mut reader = house.superuser().await.begin().await.unwrap();
        let lock: &'static str = format!("LOCK TABLE {MONTH} IN {mode} MODE").leak();
        sqlx::raw_sql(lock).execute(&mut *reader).await.unwrap();
        let busy = kept.retention.drop_month(march(), "24 months").await;
        let busy = busy.unwrap_err();
        assert_eq!(
            (busy.code(), busy.kind()),
            ("audit_month_busy", ErrorKind::Unavailable),
            "{mode}"
        );
        reader.rollback().await.unwrap();
        let left: Option<String> = one(house, THERE).await;
        assert_eq!(left.as_deref(), Some(MONTH), "{mode}");
        assert_eq!(one::<i64>(house, REMOVALS).await, 0, "{mode}");
        assert_eq!(house.entries(&house.a).await.len(), 2, "{mode}");
    }
    let dropped = kept
        .retention
        .drop_month(march(), "24 months")
        .await
        .unwrap();
    assert_eq!((dropped.tenants, dropped.entries), (2, 4));
    assert_eq!(one::<Option<String>>(house, THERE).await, None);
    assert_eq!(one::<i64>(house, REMOVALS).await, 2);
    assert!(house.entries(&house.a).await.is_empty());
}

/// Entries of an action, one transaction of the number 10 for all.
async fn plant(house: &House, ctx: &TenantCtx, action: &str, count: i32) {
    let sql = "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_kind, actor_id, action, outcome, schema_version,
            content_hash, txid)
        SELECT $1, (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
                || lpad(to_hex(n % 4096), 3, '0') || '8' || substr(md5($2 || '.' || n), 1, 15))::uuid,
            'service', 'importer', $2, 'allowed', 1, sha256('x'), '10'::xid8
        FROM generate_series(1, $3) n";
    sqlx::query(sql)
        .bind(ctx.tenant())
        .bind(action)
        .bind(count)
        .execute(&house.superuser().await)
        .await
        .unwrap();
}

/// How many rows a query gives, and how many pages it looks at, found in memory or not; without what it changed.
async fn looked_at(conn: &mut PgConnection, query: &str) -> (f64, i64) {
    let explain: &'static str = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}").leak();
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await.unwrap();
    let plan = sqlx::query_scalar(explain).persistent(false);
    let plan: Value = plan.fetch_one(&mut *conn).await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await.unwrap();
    let plan = &plan[0]["Plan"];
    let of = |name: &str| plan[name].as_i64().unwrap();
    let pages = of("Shared Hit Blocks") + of("Shared Read Blocks");
    (plan["Actual Rows"].as_f64().unwrap(), pages)
}

/// A few for each entry that goes, in each index and partition; reading all of the log takes many times more.
const FEW_PAGES: i64 = 3_000;

#[tokio::test]
async fn a_rare_action_is_found_without_reading_the_log() {
    let house = House::new().await;
    plant(&house, &house.a, "thing.made", 200_000).await;
    plant(&house, &house.a, "login.begun", 30).await;
    plant(&house, &house.a, "login.ended", 10).await;
    plant(&house, &house.b, "login.begun", 1_000).await;
    let superuser = house.superuser().await;
    for sql in [
        "VACUUM ANALYZE tenancy.audit_logs",
        "UPDATE tenancy.audit_sealer SET at_txid = '11'",
    ] {
        sqlx::raw_sql(sql).execute(&superuser).await.unwrap();
    }
    let mut conn = superuser.acquire().await.unwrap();
    let tenant = house.a.tenant();
    let whole =
        format!("SELECT FROM tenancy.audit_logs WHERE tenant_id = '{tenant}' AND meta = '[7]'");
    let (_, all) = looked_at(&mut conn, &whole).await;
    assert!(all > FEW_PAGES, "{all}: the log is no large one");
    let taken = |action: &str| {
        format!(
            "SELECT * FROM tenancy.audit_take_told('{tenant}', '{action}', now() + interval '1 minute',
                now() + interval '1 minute', 1000)"
        )
    };
    let untold = |action: &str| {
        format!(
            "SELECT * FROM tenancy.audit_untold('{tenant}', '{action}',
                '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff')"
        )
    };
    // A session comes to plan for any values after a few calls.
    for round in 0..8 {
        for (action, rows) in [
            ("login.begun", 30.0),
            ("login.%", 40.0),
            ("login.beg%", 30.0),
            ("nothing.at_all", 0.0),
            ("nothing.%", 0.0),
        ] {
            let (found, pages) = looked_at(&mut conn, &taken(action)).await;
            assert!((found - rows).abs() < 0.5, "{action} {round}: {found}");
            assert!(pages < FEW_PAGES, "{action} {round}: {pages} of {all}");
        }
    }
    // A stream that has told of nothing yet.
    sqlx::raw_sql("INSERT INTO tenancy.audit_streams (name, at_txid) VALUES ('siem', '0')")
        .execute(&superuser)
        .await
        .unwrap();
    for (action, rows) in [("login.begun", 1.0), ("login.%", 1.0), ("nothing.%", 0.0)] {
        let (found, pages) = looked_at(&mut conn, &untold(action)).await;
        assert!((found - rows).abs() < 0.5, "{action}: {found}");
        assert!(pages < FEW_PAGES, "{action}: {pages} of {all}");
    }
}
