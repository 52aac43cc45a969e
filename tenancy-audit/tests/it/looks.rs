//! A look of a tail or a stream reads so much and no more, however large the log is and whoever writes into it.

use std::sync::{Arc, Mutex};

use crate::support::{House, meta_at};
use serde_json::Value;
use tenancy_audit::{
    AuditQuery, AuditStream, Entry, Error, StreamOptions, StreamRound, StreamStart, StreamTarget,
    Streams,
};
use tenancy_core::{AuditSink as _, Event, TenantCtx};

/// Entries of one transaction, of this number.
async fn plant(house: &House, ctx: &TenantCtx, txid: u32, count: i32) {
    let sql = "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_kind, actor_id, action, outcome, schema_version,
            content_hash, txid)
        SELECT $1, (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
                || lpad(to_hex(n % 4096), 3, '0') || '8' || substr(md5($2 || '.' || n), 1, 15))::uuid,
            'service', 'importer', 'thing.made', 'allowed', 1, sha256('x'), $2::xid8
        FROM generate_series(1, $3) n";
    sqlx::query(sql)
        .bind(ctx.tenant())
        .bind(txid.to_string())
        .bind(count)
        .execute(&house.superuser().await)
        .await
        .unwrap();
}

/// So that the planner knows what there is, and an index alone answers: whoever reads at this moment, as what analyzes by
/// itself does, keeps rows from being known as seen by everybody.
async fn analyze(house: &House) {
    let superuser = house.superuser().await;
    let seen = "SELECT coalesce(sum(c.relallvisible) >= sum(c.relpages), false)
        FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'tenancy.audit_logs'::regclass";
    for _ in 0..100 {
        sqlx::raw_sql("VACUUM ANALYZE tenancy.audit_logs")
            .execute(&superuser)
            .await
            .unwrap();
        let all = sqlx::query_scalar::<_, bool>(seen).fetch_one(&superuser);
        if all.await.unwrap() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not everybody sees the log");
}

/// How many pages a statement looks at, found in memory or not.
fn pages(plan: &Value) -> i64 {
    let plan = &plan[0]["Plan"];
    let of = |name: &str| plan[name].as_i64().unwrap();
    of("Shared Hit Blocks") + of("Shared Read Blocks")
}

async fn explained(conn: &mut sqlx::PgConnection, statement: &str, arguments: &str) -> Value {
    let sql: &'static str = include_statement(statement, arguments).leak();
    // The first time a session also reads the catalog.
    sqlx::raw_sql(sql).execute(&mut *conn).await.unwrap();
    let plan = sqlx::query_scalar(sql).persistent(false);
    plan.fetch_one(conn).await.unwrap()
}

/// A statement with values in the place of its parameters.
fn include_statement(statement: &str, arguments: &str) -> String {
    let mut sql = statement.to_owned();
    let arguments: Vec<&str> = arguments.split(", ").collect();
    for (at, value) in arguments.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", at + 1), value);
    }
    let body: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}",
        body.join("\n")
    )
}

/// A page for each partition's index and what they lead to.
const FEW_PAGES: i64 = 400;

#[tokio::test]
async fn a_look_into_a_large_transaction_reads_a_page_of_it() {
    let house = House::new().await;
    plant(&house, &house.b, 10, 40_000).await;
    plant(&house, &house.a, 11, 100).await;
    analyze(&house).await;
    let (stream, _) = open(&house, StreamOptions::default()).await;
    stream.round().await.unwrap();
    let mut worker = house.db.worker.pool().acquire().await.unwrap();
    let read = include_str!("../../src/postgres/sql/stream_read.sql");
    let nobody = "'00000000-0000-0000-0000-000000000000'";
    let fence: i64 = sqlx::query_scalar("SELECT fence FROM tenancy.audit_streams")
        .fetch_one(&house.superuser().await)
        .await
        .unwrap();
    let arguments = format!("'siem', {fence}, '1000', {nobody}, {nobody}, 200");
    let plan = explained(&mut worker, read, &arguments).await;
    assert_eq!(
        plan[0]["Plan"]["Actual Rows"].as_f64(),
        Some(200.0),
        "{plan}"
    );
    assert!(pages(&plan) < FEW_PAGES, "{plan}");

    // One that a tail has not seen: it reads its tenant's entries, and passes the others' by the index.
    let mut app = house.db.app.read(&house.a).await.unwrap();
    let tenant = house.a.tenant();
    let look = include_str!("../../src/postgres/sql/look.sql");
    let plan = explained(
        &mut app,
        look,
        &format!("'5:5:', '20:20:', '0', {nobody}, 1000"),
    )
    .await;
    assert!(pages(&plan) < FEW_PAGES, "{plan}");
    let follow = include_str!("../../src/postgres/sql/follow.sql");
    let arguments = format!("'{tenant}', '11:11:', '20:20:', '0', {nobody}, '20', {nobody}, 500");
    let plan = explained(&mut app, follow, &arguments).await;
    assert_eq!(
        plan[0]["Plan"]["Actual Rows"].as_f64(),
        Some(100.0),
        "{plan}"
    );
    assert!(pages(&plan) < FEW_PAGES, "{plan}");
}

#[tokio::test]
async fn listing_a_stream_that_is_far_behind_looks_no_further_than_the_stream() {
    let house = House::new().await;
    let stream =
        "INSERT INTO tenancy.audit_streams (name, only_tenant, at_txid) VALUES ($1, $2, '0')";
    for (name, tenant) in [("all", None), ("one", Some(house.a.tenant()))] {
        let made = sqlx::query(stream).bind(name).bind(tenant);
        made.execute(&house.superuser().await).await.unwrap();
    }
    let waiting = async || {
        let streams = Streams::new(house.db.worker.clone()).list().await.unwrap();
        [0, 1].map(|at: usize| streams[at].waiting_since)
    };
    assert_eq!(waiting().await, [None, None]);
    plant(&house, &house.b, 10, 200_000).await;
    analyze(&house).await;
    let [all, one] = waiting().await;
    assert!(all.is_some());
    assert!(one.is_some(), "it has to get past the others' entries");
    let mut worker = house.db.worker.pool().acquire().await.unwrap();
    let list = include_str!("../../src/postgres/sql/stream_list.sql");
    let plan = explained(&mut worker, list, "0").await;
    assert_eq!(plan[0]["Plan"]["Actual Rows"].as_f64(), Some(2.0), "{plan}");
    // Not every version of Postgres does without the table; all of the index would be twice as many.
    assert!(pages(&plan) < FEW_PAGES * 2, "{plan}");
    drop(worker);

    // It has looked at all but a few of the others' entries, and at its own.
    let far = "UPDATE tenancy.audit_streams SET at_txid = '10', at_tenant = $1, at_entry = (
            SELECT id FROM tenancy.audit_logs WHERE tenant_id = $1 ORDER BY id DESC OFFSET 500 LIMIT 1)
        WHERE name = 'one'";
    let moved = sqlx::query(far).bind(house.b.tenant());
    moved.execute(&house.superuser().await).await.unwrap();
    assert_eq!(waiting().await[1], None, "up to date");
    plant(&house, &house.a, 11, 1).await;
    let own = house.entries(&house.a).await[0].created_at;
    assert_eq!(waiting().await[1], Some(own));
}

#[tokio::test]
async fn a_transaction_that_stays_open_makes_no_look_longer() {
    let house = House::new().await;
    plant(&house, &house.a, 50, 3).await;
    plant(&house, &house.a, 60, 20_000).await;
    plant(&house, &house.a, 1_000, 2).await;
    analyze(&house).await;
    // 50 ran at the first snapshot and has committed at the second; 60 was there at both; 1000 is new.
    let mut app = house.db.app.read(&house.a).await.unwrap();
    let tenant = house.a.tenant();
    let nobody = "'00000000-0000-0000-0000-000000000000'";
    let follow = include_str!("../../src/postgres/sql/follow.sql");
    let arguments =
        format!("'{tenant}', '50:100:50', '1001:1001:', '0', {nobody}, '1001', {nobody}, 500");
    let plan = explained(&mut app, follow, &arguments).await;
    assert_eq!(plan[0]["Plan"]["Actual Rows"].as_f64(), Some(5.0), "{plan}");
    assert!(pages(&plan) < FEW_PAGES, "{plan}");
}

/// Takes whatever it is given.
#[derive(Default)]
struct Taking(Mutex<Vec<Entry>>);

#[async_trait::async_trait]
impl StreamTarget for Taking {
    async fn deliver(&self, entries: &[Entry]) -> Result<usize, Error> {
        self.0.lock().unwrap().extend_from_slice(entries);
        Ok(entries.len())
    }
}

async fn open(house: &House, options: StreamOptions) -> (AuditStream, Arc<Taking>) {
    let target = Arc::new(Taking::default());
    let worker = house.db.worker.clone();
    let start = StreamStart::Beginning;
    let stream = AuditStream::open_with(worker, "siem", start, target.clone(), options);
    (stream.await.unwrap(), target)
}

#[tokio::test]
async fn what_others_write_is_passed_over_in_steps() {
    let house = House::new().await;
    let mut tail = house.log.tail(&house.a, &AuditQuery::new()).await.unwrap();
    let now = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let now: i64 = sqlx::query_scalar(now)
        .fetch_one(&house.superuser().await)
        .await
        .unwrap();
    plant(&house, &house.b, u32::try_from(now).unwrap(), 25_000).await;
    let event = Event::new("thing.made").meta("at", 7);
    house.audit.record(&house.a, event.clone()).await.unwrap();
    let mut looks = Vec::new();
    while looks.last() != Some(&vec![7]) {
        looks.push(tail.poll().await.unwrap().iter().map(meta_at).collect());
        assert!(looks.len() < 9, "{looks:?}");
    }
    assert!(
        looks.len() >= 2,
        "one ended among the others' entries: {looks:?}"
    );
    assert!(tail.poll().await.unwrap().is_empty());

    let options = StreamOptions::default().with_tenant(house.a.tenant());
    let (stream, told) = open(&house, options).await;
    let mut steps = 0;
    while told.0.lock().unwrap().is_empty() {
        let round = stream.round().await.unwrap();
        steps += u32::from(round == StreamRound::Delivered(0));
        if round == StreamRound::Idle {
            // Other tests' transactions hold the horizon up.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(steps < 9);
    }
    assert!(steps >= 2, "{steps}");
    let told: Vec<i64> = told.0.lock().unwrap().iter().map(meta_at).collect();
    assert_eq!(told, [7]);
}
