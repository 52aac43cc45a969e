//! Writing, beside an insert into the same table by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::PgConnection;
use tenancy_audit::{
    AuditEntryId, AuditQuery, AuditStore, AuditWriter, BufferOptions, BufferedAudit, COMPONENT,
    CountBy, Counts, Draft, Entry, Error, Followed, Mark, Page, PgAuditLog,
};
use tenancy_core::{
    AuditSink as _, DbOptions, Event, TenantCtx, TenantDb, TenantTx,
    migrate::CORE,
    testing::{member, tenant},
};
use tenancy_testkit::Db;
use tokio::task::JoinSet;

use crate::{
    Result,
    report::{Better, Metric, publish},
    sample::Sample,
};

const ROUNDS: usize = 7;
const WRITERS: u32 = 8;
/// What is compared takes turns so often in a round: the machine is not as fast at one moment as at another.
const TURNS: u32 = 5;
/// How long a turn of transactions takes.
const SPAN: Duration = Duration::from_millis(300);
/// Events of a turn of the buffered log, and rows of one statement beside it.
const BUFFERED: u32 = 50_000;
/// Events of a round without a database.
const ALONE: u32 = 150_000;
const BATCH: u32 = 1_000;

pub(crate) async fn run() -> Result {
    let kit = Db::new(&[&CORE, &COMPONENT]).await?;
    let options = DbOptions::default().with_max_connections(WRITERS + 2);
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let hot = tenant(&db).await?;
    let mut many = Vec::new();
    for _ in 0..WRITERS {
        many.push(tenant(&db).await?);
    }
    let mut crowd = Vec::new();
    for _ in 0..WRITERS {
        crowd.push(member(&db, &hot).await?);
    }
    let alike = vec![hot.clone(); many.len()];
    let mut metrics = vec![
        in_transactions("append in a transaction, 8 tenants", &db, &many).await?,
        in_transactions("append in a transaction, one hot tenant", &db, &alike).await?,
    ];
    for (names, contexts) in [
        (
            [
                "buffered, one tenant, of the bare unnest",
                "buffered, one tenant",
            ],
            &[hot.clone()][..],
        ),
        (
            [
                "buffered, 8 tenants, of the bare unnest",
                "buffered, 8 tenants",
            ],
            &many[..],
        ),
        (
            [
                "buffered, 8 actors, of the bare unnest",
                "buffered, 8 actors",
            ],
            &crowd[..],
        ),
    ] {
        metrics.extend(in_background(names, &db, contexts).await?);
    }
    metrics.push(own_share(&hot).await?);
    metrics.push(keys(&hot).await?);
    publish("audit-writes", &metrics)
}

/// What an event costs before any database, alone: quick to run while one works on it.
pub(crate) async fn events() -> Result {
    let kit = Db::new(&[&CORE, &COMPONENT]).await?;
    let ctx = tenant(&kit.app).await?;
    publish("audit-events", &[own_share(&ctx).await?])
}

async fn in_transactions(
    name: &'static str,
    db: &TenantDb,
    contexts: &[TenantCtx],
) -> Result<Metric> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mut figures = (0.0, 0.0);
        for _ in 0..TURNS {
            figures.0 += appends(db, contexts, true).await? / f64::from(TURNS);
            figures.1 += appends(db, contexts, false).await? / f64::from(TURNS);
        }
        // The first round warms up.
        if round > 0 {
            ours.push(figures.0);
            bare.push(figures.1);
        }
    }
    let figures = (&ours[..], &bare[..]);
    Ok(Metric::beside(
        name,
        "commits/s",
        figures,
        "bare insert",
        Better::Higher,
        0.9,
    ))
}

/// What share of the bare statement's rate it reaches, and the rate alone. The goal of the share is that of the
/// rate, 120,000, by the 190,000 rows that the statement writes on two idle cores.
async fn in_background(
    [share, rate]: [&'static str; 2],
    db: &TenantDb,
    contexts: &[TenantCtx],
) -> Result<[Metric; 2]> {
    let (mut ours, mut bare, mut rates) = (Vec::new(), Vec::new(), Sample::default());
    for _ in 0..ROUNDS {
        let (mut took, mut took_bare) = (0.0, 0.0);
        for _ in 0..TURNS {
            took += buffered(db, contexts).await?;
            took_bare += unnest(db, contexts).await?;
        }
        let figure = f64::from(BUFFERED * TURNS) / took;
        rates.push(figure);
        ours.push(figure);
        bare.push(f64::from(BUFFERED * TURNS) / took_bare);
    }
    let figures = (&ours[..], &bare[..]);
    Ok([
        Metric::beside(
            share,
            "events/s",
            figures,
            "bare unnest",
            Better::Higher,
            0.63,
        ),
        Metric::alone(rate, "events/s", &rates, Better::Higher, 120_000.0),
    ])
}

/// What the buffered log costs before any database: into a store that keeps nothing.
async fn own_share(ctx: &TenantCtx) -> Result<Metric> {
    let mut costs = Sample::default();
    for _ in 0..ROUNDS {
        let (audit, begun) = (
            BufferedAudit::new(
                AuditWriter::new(Arc::new(Nowhere)),
                BufferOptions::default(),
            ),
            on_cores()?,
        );
        for at in 0..ALONE {
            audit.record(ctx, event(at)).await?;
        }
        audit.shutdown().await?;
        let took = on_cores()?.saturating_sub(begun);
        costs.push(took.as_secs_f64() * 1_000_000.0 / f64::from(ALONE));
    }
    let name = "buffered, an event without the database";
    Ok(Metric::alone(
        name,
        "us of a core",
        &costs,
        Better::Lower,
        8.0,
    ))
}

/// What looking at the keys of `meta` costs, without a database: forty texts under keys, beside the same in a list.
async fn keys(ctx: &TenantCtx) -> Result<Metric> {
    const EVENTS: u32 = 20_000;
    let text = |at: u32| format!("the customer asked for greeting {at}");
    let in_list =
        Event::new("template.updated").meta("texts", (0..40).map(text).collect::<Vec<_>>());
    let under_keys = (0..40).fold(Event::new("template.updated"), |event, at| {
        event.meta(format!("greeting_of_the_day_{at}"), text(at))
    });
    let writer = AuditWriter::new(Arc::new(Nowhere));
    let (mut keyed, mut listed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (event, rates) in [(&under_keys, &mut keyed), (&in_list, &mut listed)] {
            let begun = Instant::now();
            for _ in 0..EVENTS {
                writer.record(ctx, event.clone()).await?;
            }
            rates.push(rate(EVENTS.into(), begun)?);
        }
    }
    let name = "an event with 40 keys, without the database";
    let figures = (&keyed[..], &listed[..]);
    Ok(Metric::beside(
        name,
        "events/s",
        figures,
        "the texts in a list",
        Better::Higher,
        0.5,
    ))
}

/// How long this process has run on all cores.
fn on_cores() -> Result<Duration> {
    /// What Linux counts in, on every machine of today.
    const TICKS_A_SECOND: u64 = 100;
    let line = std::fs::read_to_string("/proc/self/stat")?;
    let behind_the_name = line.rsplit(')').next().unwrap_or_default();
    let mut ticks = 0;
    for field in behind_the_name.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND))
}

/// What a store answers.
type Answer<T> = std::result::Result<T, Error>;

/// A store that keeps nothing.
struct Nowhere;

#[async_trait::async_trait]
impl AuditStore for Nowhere {
    async fn append(&self, _: &TenantCtx, drafts: &[Draft]) -> Answer<Vec<AuditEntryId>> {
        Ok(drafts.iter().map(|draft| draft.id).collect())
    }

    async fn append_in(&self, _: &mut TenantTx, drafts: &[Draft]) -> Answer<Vec<AuditEntryId>> {
        Ok(drafts.iter().map(|draft| draft.id).collect())
    }

    async fn get(&self, _: &TenantCtx, _: AuditEntryId) -> Answer<Option<Entry>> {
        Ok(None)
    }

    async fn search(&self, _: &TenantCtx, _: &AuditQuery) -> Answer<Page> {
        Err(nothing())
    }

    async fn count(&self, _: &TenantCtx, _: &AuditQuery, _: CountBy, _: u32) -> Answer<Counts> {
        Err(nothing())
    }

    async fn mark(&self, _: &TenantCtx) -> Answer<Mark> {
        Err(nothing())
    }

    async fn follow(&self, _: &TenantCtx, _: &Mark, _: u16) -> Answer<Followed> {
        Err(nothing())
    }
}

fn nothing() -> Error {
    let message = "nothing was kept";
    tenancy_core::Error::new(tenancy_core::ErrorKind::Internal, "bench", message).into()
}

fn event(at: u32) -> Event {
    Event::new("template.updated")
        .target("template", at)
        .meta("fields", ["name", "body"])
        .meta("at", at)
        .meta("reason", "the customer asked for another greeting")
}

/// Transactions of one entry each, by as many writers as there are contexts; commits a second.
async fn appends(db: &TenantDb, contexts: &[TenantCtx], ours: bool) -> Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let (mut writers, begun) = (JoinSet::new(), Instant::now());
    for ctx in contexts {
        let (db, ctx, done) = (db.clone(), ctx.clone(), done.clone());
        let audit = PgAuditLog::new(db.clone());
        writers.spawn(async move {
            let mut at = 0;
            while begun.elapsed() < SPAN {
                let mut tx = db.write(&ctx).await?;
                if ours {
                    audit.record_in(&mut tx, event(at)).await?;
                } else {
                    insert(&mut tx, &ctx, at).await?;
                }
                tx.commit().await?;
                done.fetch_add(1, Ordering::Relaxed);
                at += 1;
            }
            Result::Ok(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    rate(done.load(Ordering::Relaxed), begun)
}

/// What a host would write by hand, with everything known beforehand that can be.
async fn insert(conn: &mut PgConnection, ctx: &TenantCtx, at: u32) -> Result {
    sqlx::query(
        "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_user_id, actor_kind, actor_id, action, resource,
             outcome, targets, request_id, meta, schema_version, content_hash)
         VALUES ($1, $2, $3, 'user', $4, $5, $6, 'allowed', $7, $8, $9, 1, $10)",
    )
    .bind(ctx.tenant())
    .bind(tenancy_audit::AuditEntryId::new())
    .bind(ctx.user())
    .bind(ctx.principal().actor.id())
    .bind("template.updated")
    .bind(format!("template:{at}"))
    .bind(json!([{ "kind": "template", "id": at.to_string() }]))
    .bind(ctx.request_id())
    .bind(json!({ "fields": ["name", "body"], "at": at, "reason": "the customer asked for another greeting" }))
    .bind(&[7_u8; 32][..])
    .execute(conn)
    .await?;
    Ok(())
}

/// Events from two tasks until all of them are stored, in seconds.
async fn buffered(db: &TenantDb, contexts: &[TenantCtx]) -> Result<f64> {
    let log = PgAuditLog::new(db.clone());
    let begun = Instant::now();
    let audit = BufferedAudit::new(log.writer().clone(), BufferOptions::default());
    let mut producers = JoinSet::new();
    for half in 0..2 {
        let (audit, contexts) = (audit.clone(), contexts.to_vec());
        producers.spawn(async move {
            let of = (half..BUFFERED).step_by(2).zip(contexts.iter().cycle());
            for (at, ctx) in of {
                audit.record(ctx, event(at)).await?;
            }
            Result::Ok(())
        });
    }
    while let Some(producer) = producers.join_next().await {
        producer??;
    }
    let stats = audit.shutdown().await?;
    if stats.written != u64::from(BUFFERED) {
        return Err(format!("not everything was written: {stats:?}").into());
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// As many rows as the buffered log writes, by two tasks and with nothing but the statement, in seconds.
async fn unnest(db: &TenantDb, contexts: &[TenantCtx]) -> Result<f64> {
    let (mut writers, begun) = (JoinSet::new(), Instant::now());
    for half in 0..2 {
        let (db, contexts) = (db.clone(), contexts.to_vec());
        writers.spawn(async move {
            let of = (half..BUFFERED / BATCH)
                .step_by(2)
                .zip(contexts.iter().cycle());
            for (batch, ctx) in of {
                let mut tx = db.aside(ctx).await?;
                insert_many(&mut tx, ctx, batch * BATCH).await?;
                tx.commit().await?;
            }
            Result::Ok(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(begun.elapsed().as_secs_f64())
}

async fn insert_many(conn: &mut PgConnection, ctx: &TenantCtx, from: u32) -> Result {
    let all = from..from + BATCH;
    let ids: Vec<_> = all
        .clone()
        .map(|_| tenancy_audit::AuditEntryId::new().as_uuid())
        .collect();
    let resources: Vec<_> = all.clone().map(|at| format!("template:{at}")).collect();
    let targets: Vec<_> = all
        .clone()
        .map(|at| json!([{ "kind": "template", "id": at.to_string() }]))
        .collect();
    let metas: Vec<_> = all
        .map(|at| json!({ "fields": ["name", "body"], "at": at, "reason": "the customer asked for another greeting" }))
        .collect();
    sqlx::query(
        "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_user_id, actor_kind, actor_id, action, resource,
             outcome, targets, request_id, meta, schema_version, content_hash)
         SELECT $1, e.id, $2, 'user', $3, 'template.updated', e.resource, 'allowed', e.targets, $4, e.meta, 1, $5
         FROM unnest($6::uuid[], $7::text[], $8::jsonb[], $9::jsonb[]) AS e (id, resource, targets, meta)",
    )
    .bind(ctx.tenant())
    .bind(ctx.user())
    .bind(ctx.principal().actor.id())
    .bind(ctx.request_id())
    .bind(&[7_u8; 32][..])
    .bind(ids)
    .bind(resources)
    .bind(targets)
    .bind(metas)
    .execute(conn)
    .await?;
    Ok(())
}

fn rate(count: u64, since: Instant) -> Result<f64> {
    Ok(f64::from(u32::try_from(count)?) / since.elapsed().as_secs_f64())
}
