//! Sealing, verifying and proving.

use std::{sync::Arc, time::Instant};

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
    let (mut sealed, mut verified, mut proved) =
        (Sample::default(), Sample::default(), Sample::default());
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let proofs = AuditProofs::new(kit.app.clone(), authorizer, Arc::new(audit.clone()));
    for round in 0..ROUNDS {
        write(&kit, &audit, &ctx).await?;
        let begun = Instant::now();
        let done = sealer.seal().await?;
        sealed.push(rate(done.entries, begun));
        if done.entries < ENTRIES.into() {
            println!(
                "round {round}: {} entries only: something held the horizon up",
                done.entries
            );
        }
    }
    let file = export(&proofs, &ctx).await?;
    println!("{} MB of proof", file.len() / 1_000_000);
    let verifier = Verifier::new(keys);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let report = verifier.verify(&*file)?;
        if !report.is_intact() {
            return Err(format!("the log does not verify: {:?}", report.findings.first()).into());
        }
        verified.push(rate(report.entries, begun));
    }
    let ids: Vec<AuditEntryId> =
        sqlx::query_scalar("SELECT id FROM tenancy.audit_logs ORDER BY content_hash LIMIT $1")
            .bind(i64::try_from(PROOFS)?)
            .fetch_all(&kit.superuser().await?)
            .await?;
    let mut times = Vec::with_capacity(PROOFS);
    for id in ids {
        let begun = Instant::now();
        proofs.inclusion(&ctx, id).await?;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    for part in times.chunks(PROOFS / 10).take(9) {
        proved.push(part.iter().sum::<f64>() / f64::from(u32::try_from(part.len())?));
    }
    let metrics = [
        Metric::alone(
            "sealer, one hot tenant",
            "entries/s",
            &sealed,
            Better::Higher,
            150_000.0,
        ),
        Metric::alone(
            "verifier, one core",
            "entries/s",
            &verified,
            Better::Higher,
            500_000.0,
        ),
        Metric::alone(
            "proof of inclusion, below the 90th percentile",
            "ms",
            &proved,
            Better::Lower,
            1.0,
        ),
    ];
    publish("audit-seals", &metrics)
}

async fn write(kit: &Db, audit: &PgAuditLog, ctx: &TenantCtx) -> Result {
    for batch in 0..ENTRIES / BATCH {
        let mut tx = kit.app.write(ctx).await?;
        let events = (0..BATCH).map(|at| {
            Event::new("template.updated")
                .target("template", batch * BATCH + at)
                .meta("fields", ["name", "body"])
                .meta("at", at)
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
    println!(
        "exported at {:.0} MB/s",
        file.len() as f64 / 1e6 / begun.elapsed().as_secs_f64()
    );
    Ok(file)
}

fn rate(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}
