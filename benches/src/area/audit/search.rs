//! Searching and exporting a large log.

use std::{num::ParseIntError, str::FromStr, sync::Arc, time::Instant};

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, postgres::PgPoolCopyExt as _};
use tenancy_audit::{
    ActionFilter, ActorFilter, AuditLog, AuditQuery, COMPONENT, ExportFormat, PgAuditLog,
    ResourceFilter, TimeRange,
};
use tenancy_core::{
    DbOptions, Outcome, RequestId, Target, TenantCtx, TenantDb, UserId,
    migrate::CORE,
    testing::{FakeAuthorizer, tenant},
};
use tenancy_testkit::Db;
use uuid::Uuid;

use crate::{
    Result,
    report::{Better, Metric, publish},
    sample::Sample,
};

const ROUNDS: usize = 5;
/// Searches of a round and kind.
const SEARCHES: usize = 200;
/// How deep in the log pages are looked at, and how many searches of a kind there.
const DEPTHS: [(f64, &str); 3] = [
    (0.1, "page at 10 % depth, worst filter, p99"),
    (0.5, "page at 50 % depth, worst filter, p99"),
    (0.9, "page at 90 % depth, worst filter, p99"),
];
const DEEP: usize = 60;
/// Entries that one statement plants.
const PLANTED: i64 = 250_000;
/// Entries of a round of exports.
const EXPORTED: usize = 300_000;

#[derive(sqlx::FromRow)]
struct Known {
    actor_id: String,
    action: String,
    resource: String,
    request_id: Uuid,
    created_at: chrono::DateTime<chrono::Utc>,
}

/// The log's indexes but its key, and how each is made, on the partitions too.
const INDEXES: &str = "SELECT c.relname::text, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'tenancy.audit_logs'::regclass AND NOT i.indisprimary";

/// A kind of search, and how one of it looks for a known entry.
type Kind = (&'static str, fn(&Known) -> Result<AuditQuery>);

const KINDS: [Kind; 7] = [
    ("actor", |known| {
        let user: UserId = known.actor_id.parse()?;
        Ok(AuditQuery::new().with_actor(ActorFilter::User(user)))
    }),
    ("action", |known| {
        Ok(AuditQuery::new().with_action(ActionFilter::exact(&known.action)?))
    }),
    ("action by prefix", |known| {
        let (topic, _) = known.action.split_once('.').unwrap_or_default();
        Ok(AuditQuery::new().with_action(ActionFilter::prefix(&format!("{topic}."))?))
    }),
    ("target", |known| {
        let (kind, id) = known.resource.split_once(':').unwrap_or_default();
        let target = Target::new(kind, id);
        Ok(AuditQuery::new().with_resource(ResourceFilter::Exact(target)))
    }),
    ("outcome", |_| {
        Ok(AuditQuery::new().with_outcome(Outcome::Denied))
    }),
    ("time", |known| {
        let range = TimeRange::new().with_to(known.created_at);
        Ok(AuditQuery::new().with_time(range))
    }),
    ("request", |known| {
        let request = RequestId::from_uuid(known.request_id);
        Ok(AuditQuery::new().with_request(request))
    }),
];

pub(crate) async fn run() -> Result {
    let rows: i64 = from_env("TENANCY_BENCH_ROWS", 2_000_000)?;
    let months: i32 = from_env("TENANCY_BENCH_MONTHS", 36)?;
    let kit = Db::new(&[&CORE, &COMPONENT]).await?;
    let ctx = tenant(&kit.app).await?;
    let begun = Instant::now();
    plant(&kit, &ctx, rows, months).await?;
    println!(
        "{rows} entries of {months} months planted in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    let known = known(&kit, &ctx).await?;
    let fresh = on_new_connections(&kit, &ctx, &known).await?;
    let log = log(&kit).await?;
    let (mut firsts, mut laters) = (Sample::default(), Sample::default());
    for round in 0..ROUNDS {
        let mut worst = (0.0_f64, 0.0_f64);
        for (name, query) in KINDS {
            let [first, later] = search(&log, &ctx, &known, query).await?;
            println!("round {round}, {name}: p99 {first:.2} ms, later pages {later:.2} ms");
            worst = (worst.0.max(first), worst.1.max(later));
        }
        firsts.push(worst.0);
        laters.push(worst.1);
    }
    let count = "SELECT count(*) FROM tenancy.audit_logs";
    let rows: i64 = sqlx::query_scalar(count)
        .fetch_one(&kit.superuser().await?)
        .await?;
    let name = "first page of a new connection, worst filter";
    let fresh = Metric::alone(name, "ms", &fresh, Better::Lower, 100.0);
    let mut metrics = vec![fresh.among(rows)];
    for (name, slowest) in [
        ("first page, worst filter, p99", &firsts),
        ("later page, worst filter, p99", &laters),
    ] {
        let metric = Metric::alone(name, "ms", slowest, Better::Lower, 5.0);
        metrics.push(metric.among(rows));
    }
    for (depth, name) in DEPTHS {
        let slowest = at_depth(&kit, &log, &ctx, &known, depth).await?;
        let metric = Metric::alone(name, "ms", &slowest, Better::Lower, 5.0);
        metrics.push(metric.among(rows));
    }
    metrics.push(export(&kit, &log, &ctx).await?.among(rows));
    publish("audit-search", &metrics)
}

/// A log on one connection, which keeps its plans.
async fn log(kit: &Db) -> Result<AuditLog> {
    let options = DbOptions::default().with_max_connections(1);
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let audit = Arc::new(PgAuditLog::new(db.clone()));
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    Ok(AuditLog::new(db, authorizer, audit))
}

/// The first search of all on a connection, which learns of every month, for each filter: the slowest.
async fn on_new_connections(kit: &Db, ctx: &TenantCtx, known: &[Known]) -> Result<Sample> {
    let mut slowest = Sample::default();
    for known in known.iter().take(ROUNDS) {
        let mut worst = 0.0_f64;
        for (_, query) in KINDS {
            let log = log(kit).await?;
            let begun = Instant::now();
            log.search(ctx, &query(known)?).await?;
            worst = worst.max(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        slowest.push(worst);
    }
    Ok(slowest)
}

fn from_env<T: FromStr<Err = ParseIntError>>(name: &str, otherwise: T) -> Result<T> {
    match std::env::var(name) {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(otherwise),
    }
}

/// Fills the log; the indexes for filters are made when it is full, since the run has to end before one gets bored.
async fn plant(kit: &Db, ctx: &TenantCtx, rows: i64, months: i32) -> Result {
    let superuser = kit.superuser().await?;
    let older = include_str!("older_months.sql").replace("{months}", &months.to_string());
    sqlx::raw_sql(AssertSqlSafe(older))
        .execute(&superuser)
        .await?;
    let indexes: Vec<(String, String)> = sqlx::query_as(INDEXES).fetch_all(&superuser).await?;
    for (name, _) in &indexes {
        let drop = AssertSqlSafe(format!("DROP INDEX tenancy.{name}"));
        sqlx::query(drop).execute(&superuser).await?;
    }
    let mut from = 1;
    while from <= rows {
        let to = rows.min(from + PLANTED - 1);
        sqlx::query(include_str!("fill_log.sql"))
            .bind(ctx.tenant())
            .bind(from)
            .bind(to)
            .bind(rows)
            .bind(months)
            .execute(&superuser)
            .await?;
        from = to + 1;
    }
    for (_, make) in indexes {
        sqlx::query(AssertSqlSafe(make)).execute(&superuser).await?;
    }
    sqlx::raw_sql("VACUUM ANALYZE tenancy.audit_logs")
        .execute(&superuser)
        .await?;
    Ok(())
}

async fn known(kit: &Db, ctx: &TenantCtx) -> Result<Vec<Known>> {
    let sql = "SELECT actor_id, action, resource, request_id, created_at FROM tenancy.audit_logs TABLESAMPLE SYSTEM (0.5)
        WHERE tenant_id = $1 ORDER BY content_hash LIMIT $2";
    Ok(sqlx::query_as(sql)
        .bind(ctx.tenant())
        .bind(i64::try_from(SEARCHES)?)
        .fetch_all(&kit.superuser().await?)
        .await?)
}

/// The slowest of a hundred: first pages, and pages behind a cursor.
async fn search(
    log: &AuditLog,
    ctx: &TenantCtx,
    known: &[Known],
    query: fn(&Known) -> Result<AuditQuery>,
) -> Result<[f64; 2]> {
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for known in known {
        let mut query = query(known)?;
        let mut next = None;
        for page in 0..4 {
            query.after = next;
            let begun = Instant::now();
            let found = log.search(ctx, &query).await?;
            let times = if page == 0 { &mut first } else { &mut later };
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
            next = found.next;
            if next.is_none() {
                break;
            }
        }
    }
    Ok([first, later].map(slowest_of_a_hundred))
}

fn slowest_of_a_hundred(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or(0.0)
}

/// Of each round the slowest of a hundred pages of the worst filter, behind so much of the log: a page that begins there,
/// and two behind its cursor.
async fn at_depth(
    kit: &Db,
    log: &AuditLog,
    ctx: &TenantCtx,
    known: &[Known],
    depth: f64,
) -> Result<Sample> {
    let sql = "SELECT max(created_at) - (max(created_at) - min(created_at)) * $2
        FROM tenancy.audit_logs WHERE tenant_id = $1";
    let there = sqlx::query_scalar(sql).bind(ctx.tenant()).bind(depth);
    let there: chrono::DateTime<chrono::Utc> = there.fetch_one(&kit.superuser().await?).await?;
    let mut slowest = Sample::default();
    for _ in 0..ROUNDS {
        let mut worst = 0.0_f64;
        for (_, query) in KINDS {
            let mut times = Vec::new();
            for known in known.iter().take(DEEP) {
                let range = TimeRange::new().with_to(there);
                let mut query = query(known)?.with_time(range);
                for _ in 0..3 {
                    let begun = Instant::now();
                    let found = log.search(ctx, &query).await?;
                    times.push(begun.elapsed().as_secs_f64() * 1_000.0);
                    let Some(next) = found.next else { break };
                    query.after = Some(next);
                }
            }
            worst = worst.max(slowest_of_a_hundred(times));
        }
        slowest.push(worst);
    }
    Ok(slowest)
}

/// Entries a second, and beside them a bare `COPY` of the same rows by a superuser.
async fn export(kit: &Db, log: &AuditLog, ctx: &TenantCtx) -> Result<Metric> {
    let superuser = kit.superuser().await?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut running = log
            .export(ctx, &AuditQuery::new(), ExportFormat::Ndjson)
            .await?;
        let (begun, mut lines) = (Instant::now(), 0);
        while let Some(some) = running.next_lines().await? {
            lines += some.bytes().filter(|byte| *byte == b'\n').count();
            if lines >= EXPORTED {
                break;
            }
        }
        ours.push(f64::from(u32::try_from(lines)?) / begun.elapsed().as_secs_f64());

        let tenant = ctx.tenant();
        let sql = format!(
            "COPY (SELECT * FROM tenancy.audit_logs WHERE tenant_id = '{tenant}' ORDER BY id LIMIT {lines}) TO STDOUT"
        );
        let (begun, mut bytes) = (Instant::now(), 0);
        let mut copied = superuser.copy_out_raw(&sql).await?;
        while let Some(some) = copied.try_next().await? {
            bytes += some.len();
        }
        bare.push(f64::from(u32::try_from(lines)?) / begun.elapsed().as_secs_f64());
        println!("{lines} entries exported; {bytes} bytes copied");
    }
    let mut sample = Sample::default();
    for rate in &ours {
        sample.push(*rate);
    }
    let ratios = Sample::ratios(&ours, &bare);
    println!("beside a bare COPY: {:.2}", ratios.median());
    let name = "export as NDJSON, one stream";
    Ok(Metric::alone(
        name,
        "entries/s",
        &sample,
        Better::Higher,
        100_000.0,
    ))
}
