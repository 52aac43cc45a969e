//! How long entries wait for their seal while others are written.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tenancy_audit::{COMPONENT, Ed25519Signer, PgAuditLog, Sealer};
use tenancy_core::{Event, TenantCtx, TenantDb, migrate::CORE, testing::tenant};
use tenancy_testkit::Db;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Result,
    report::{Better, Metric, publish},
    sample::Sample,
};

const ROUNDS: u32 = 4;
/// Events a second, in transactions of fifty: a little more than what has to be borne, which a clock never gives exactly.
const RATE: u32 = 5_050;
const BORNE: f64 = 5_000.0;
const AT_ONCE: u32 = 50;
const SECONDS: u32 = 8;
const WRITTEN: u32 = SECONDS * RATE / AT_ONCE * AT_ONCE;

/// How long the slowest of a hundred entries behind so many waited from when they were stored until they were sealed.
/// Seals take the entries of the one tenant in this order.
const WAITED: &str = "WITH placed AS (
        SELECT l.created_at, row_number() OVER (ORDER BY l.txid, l.id) AS place
        FROM tenancy.audit_logs l WHERE l.tenant_id = $1)
    SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM s.sealed_at - p.created_at)::float8)
    FROM placed p JOIN tenancy.audit_seals s
        ON s.tenant_id = $1 AND p.place >= s.first_entry AND p.place < s.first_entry + s.entries
    WHERE p.place > $2";

pub(crate) async fn run() -> Result {
    let kit = Db::new(&[&CORE, &COMPONENT]).await?;
    let ctx = tenant(&kit.app).await?;
    let audit = PgAuditLog::new(kit.app.clone());
    let signer = Ed25519Signer::parse(Ed25519Signer::generate("bench")?.expose())?;
    let sealer = Sealer::new(kit.worker.clone(), Arc::new(signer));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sealing = {
        let sealer = sealer.clone();
        tokio::spawn(async move { sealer.run(async { drop(stopped.await) }).await })
    };
    let (mut lags, mut rates) = (Sample::default(), Sample::default());
    let (mut waits, mut written) = (Sample::default(), 0_i64);
    let superuser = kit.superuser().await?;
    for _ in 0..ROUNDS {
        let writing = {
            let (db, audit, ctx) = (kit.app.clone(), audit.clone(), ctx.clone());
            tokio::spawn(async move { write(&db, &audit, &ctx).await })
        };
        // How long the oldest entry has waited, every 20 ms: as who watches the log sees it.
        let mut seen = Vec::new();
        while !writing.is_finished() {
            let oldest = sealer.health().await?.waiting_since;
            let waited = oldest.and_then(|since| (chrono::Utc::now() - since).to_std().ok());
            seen.push(waited.unwrap_or_default().as_secs_f64());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        rates.push(writing.await??);
        seen.sort_by(f64::total_cmp);
        lags.push(seen.get(seen.len() * 99 / 100).copied().unwrap_or(f64::NAN));
        while sealer.health().await?.waiting_since.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let waited = sqlx::query_scalar(WAITED).bind(ctx.tenant()).bind(written);
        waits.push(waited.fetch_one(&superuser).await?);
        written += i64::from(WRITTEN);
    }
    drop(stop);
    sealing.await?;
    let (lag, rate) = ("age of the oldest unsealed entry, p99", "written meanwhile");
    let wait = "from stored to sealed, p99 of all entries";
    publish(
        "audit-lag",
        &[
            Metric::alone(lag, "s", &lags, Better::Lower, 2.0),
            Metric::alone(wait, "s", &waits, Better::Lower, 2.0).among(written),
            Metric::alone(rate, "events/s", &rates, Better::Higher, BORNE),
        ],
    )
}

/// Writes a round, as the clock tells; events a second.
async fn write(db: &TenantDb, audit: &PgAuditLog, ctx: &TenantCtx) -> Result<f64> {
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) * AT_ONCE / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..WRITTEN / AT_ONCE {
        ticks.tick().await;
        let mut tx = db.write(ctx).await?;
        let events = (0..AT_ONCE).map(|at| Event::new("template.updated").target("template", at));
        audit.record_batch_in(&mut tx, events.collect()).await?;
        tx.commit().await?;
    }
    Ok(f64::from(WRITTEN) / begun.elapsed().as_secs_f64())
}
