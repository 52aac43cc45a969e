//! How long entries wait for their seal while others are written.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tenancy_audit::{COMPONENT, Ed25519Signer, PgAuditLog, Sealer};
use tenancy_core::{Event, migrate::CORE, testing::tenant};
use tenancy_testkit::Db;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Result,
    report::{Better, Metric, publish},
    sample::Sample,
};

const ROUNDS: u32 = 4;
/// Events a second, in transactions of fifty.
const RATE: u32 = 5_000;
const AT_ONCE: u32 = 50;
const SECONDS: u32 = 8;

pub(crate) async fn run() -> Result {
    let kit = Db::new(&[&CORE, &COMPONENT]).await?;
    let ctx = tenant(&kit.app).await?;
    let audit = PgAuditLog::new(kit.app.clone());
    let signer = Ed25519Signer::parse(&Ed25519Signer::generate_entry("bench")?)?;
    let sealer = Sealer::new(kit.worker.clone(), Arc::new(signer));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sealing = {
        let sealer = sealer.clone();
        tokio::spawn(async move { sealer.run(async { drop(stopped.await) }).await })
    };
    let (mut lags, mut rates) = (Sample::default(), Sample::default());
    for _ in 0..ROUNDS {
        let writing = {
            let (db, audit, ctx) = (kit.app.clone(), audit.clone(), ctx.clone());
            tokio::spawn(async move {
                let begun = Instant::now();
                let mut ticks = interval(Duration::from_secs(1) * AT_ONCE / RATE);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for _ in 0..SECONDS * RATE / AT_ONCE {
                    ticks.tick().await;
                    let mut tx = db.write(&ctx).await?;
                    let events = (0..AT_ONCE)
                        .map(|at| Event::new("template.updated").target("template", at));
                    audit.record_batch_in(&mut tx, events.collect()).await?;
                    tx.commit().await?;
                }
                Result::Ok(f64::from(SECONDS * RATE) / begun.elapsed().as_secs_f64())
            })
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
    }
    drop(stop);
    sealing.await?;
    let (lag, rate) = ("age of the oldest unsealed entry, p99", "written meanwhile");
    publish(
        "audit-lag",
        &[
            Metric::alone(lag, "s", &lags, Better::Lower, 2.0),
            Metric::alone(rate, "events/s", &rates, Better::Higher, 4_900.0),
        ],
    )
}
