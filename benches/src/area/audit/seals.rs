//! Sealing, verifying and proving.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tenancy_audit::{
    AuditEntryId, AuditProofs, COMPONENT, Ed25519Signer, PgAuditLog, SealKeys, Sealer, Verifier,
};
use tenancy_core::{
    Event, TenantCtx,
    migrate::CORE,
    testing::{FakeAuthorizer, tenant},
};
use tenancy_testkit::Db;

use crate::{
    Result,
    report::{Better, Metric, publish},
    sample::Sample,
};

const ROUNDS: usize = 5;
/// Entries of a round.
const ENTRIES: u32 = 100_000;
const BATCH: u32 = 1_000;
const PROOFS: usize = 500;

pub(crate) async fn run() -> Result {
    let kit = Db::new(&[&CORE, &COMPONENT]).await?;
    let ctx = tenant(&kit.app).await?;
    let audit = PgAuditLog::new(kit.app.clone());
    let signer = Ed25519Signer::parse(&Ed25519Signer::generate_entry("bench")?)?;
    let keys = SealKeys::new([signer.public_key()]);
    let sealer = Sealer::new(kit.worker.clone(), Arc::new(signer));
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let proofs = AuditProofs::new(kit.app.clone(), authorizer, Arc::new(audit.clone()));
    let mut sealing = Sample::default();
    for round in 0..ROUNDS {
        write(&kit, &audit, &ctx, false).await?;
        let begun = Instant::now();
        let done = sealer.seal().await?;
        sealing.push(rate(done.entries, begun)?);
        if done.entries < ENTRIES.into() {
            let some = done.entries;
            println!("round {round}: {some} entries only: something held the horizon up");
        }
    }
    let file = export(&proofs, &ctx).await?;
    let from_requests = tenant(&kit.app).await?;
    write(&kit, &audit, &from_requests, true).await?;
    sealer.seal().await?;
    let with_origin = export(&proofs, &from_requests).await?;
    let metrics = [
        Metric::alone(
            "sealer, one hot tenant",
            "entries/s",
            &sealing,
            Better::Higher,
            150_000.0,
        ),
        verify(
            "verifier, of one core's time",
            &Verifier::new(ctx.tenant(), keys.clone()),
            &file,
        )?,
        verify(
            "verifier, entries with address and browser",
            &Verifier::new(from_requests.tenant(), keys),
            &with_origin,
        )?,
        prove(&kit, &proofs, &ctx).await?,
    ];
    publish("audit-seals", &metrics)
}

fn verify(name: &'static str, verifier: &Verifier, file: &[u8]) -> Result<Metric> {
    let mut rates = Sample::default();
    for _ in 0..ROUNDS {
        let begun = on_core()?;
        let report = verifier.verify(file)?;
        if !report.is_intact() {
            return Err(format!("the log does not verify: {:?}", report.findings.first()).into());
        }
        let took = on_core()?.saturating_sub(begun);
        rates.push(f64::from(u32::try_from(report.entries)?) / took.as_secs_f64());
    }
    Ok(Metric::alone(
        name,
        "entries/s",
        &rates,
        Better::Higher,
        500_000.0,
    ))
}

/// Of each tenth of the proofs, from the fastest on, the mean; without the slowest tenth.
async fn prove(kit: &Db, proofs: &AuditProofs, ctx: &TenantCtx) -> Result<Metric> {
    let sql = "SELECT id FROM tenancy.audit_logs ORDER BY content_hash LIMIT $1";
    let ids: Vec<AuditEntryId> = sqlx::query_scalar(sql)
        .bind(i64::try_from(PROOFS)?)
        .fetch_all(&kit.superuser().await?)
        .await?;
    let mut times = Vec::with_capacity(PROOFS);
    for id in ids {
        let begun = Instant::now();
        // The newest entry is that of the export, which waits for its seal.
        if proofs.inclusion(ctx, id).await.is_ok() {
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    times.sort_by(f64::total_cmp);
    let mut tenths = Sample::default();
    for part in times.chunks(PROOFS / 10).take(9) {
        tenths.push(part.iter().sum::<f64>() / f64::from(u32::try_from(part.len())?));
    }
    let name = "proof of inclusion, 90 of 100";
    Ok(Metric::alone(name, "ms", &tenths, Better::Lower, 1.0))
}

/// With an origin, as the layer records each request.
async fn write(kit: &Db, audit: &PgAuditLog, ctx: &TenantCtx, with_origin: bool) -> Result {
    for batch in 0..ENTRIES / BATCH {
        let mut tx = kit.app.write(ctx).await?;
        let events = (0..BATCH).map(|at| {
            let mut event = Event::new("template.updated")
                .target("template", batch * BATCH + at)
                .meta("fields", ["name", "body"])
                .meta("at", at);
            if with_origin {
                event.origin.ip = Some("192.0.2.77".to_owned());
                event.origin.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64)".to_owned());
            }
            event
        });
        audit.record_batch_in(&mut tx, events.collect()).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn export(proofs: &AuditProofs, ctx: &TenantCtx) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut export = proofs.export(ctx).await?;
    let begun = Instant::now();
    while let Some(lines) = export.next_lines().await? {
        file.extend_from_slice(lines.as_bytes());
    }
    let megabytes = u64::try_from(file.len())? / 1_000_000;
    println!(
        "exported {megabytes} MB at {:.0} MB/s",
        rate(megabytes, begun)?
    );
    Ok(file)
}

/// How long this thread has run on a core: other work on the machine does not count.
fn on_core() -> Result<Duration> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = times.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn rate(count: u64, since: Instant) -> Result<f64> {
    Ok(f64::from(u32::try_from(count)?) / since.elapsed().as_secs_f64())
}
