//! Sealing, verifying and proving.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tenancy_audit::{
    ActionFilter, AuditEntryId, AuditProofs, COMPONENT, Ed25519Signer, PgAuditLog, Retention,
    RetentionRule, SealKeys, Sealer, Verifier,
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
const TENANTS: usize = 1_000;
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) async fn run() -> Result {
    let kit = Db::new(&[&CORE, &COMPONENT]).await?;
    let ctx = tenant(&kit.app).await?;
    let audit = PgAuditLog::new(kit.app.clone());
    let signer = Ed25519Signer::parse(Ed25519Signer::generate("bench")?.expose())?;
    let keys = SealKeys::new([signer.public_key()]);
    let signer = Arc::new(signer);
    let sealer = Sealer::new(kit.worker.clone(), signer.clone());
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
    seal_all(&sealer).await?;
    let file = export(&proofs, &ctx).await?;
    let from_requests = tenant(&kit.app).await?;
    write(&kit, &audit, &from_requests, true).await?;
    sealer.seal().await?;
    let with_origin = export(&proofs, &from_requests).await?;
    let [most_proofs, proofs_of_all] = prove(&kit, &proofs, &ctx).await?;
    let crowd = many_tenants(&kit, &audit, &sealer).await?;
    let retention = Retention::new(kit.operator.clone(), signer, keys.clone());
    let removal = remove(&kit, &audit, &ctx, &sealer, &retention).await?;
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
        most_proofs,
        proofs_of_all,
        crowd,
        removal,
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

/// Of each tenth of the proofs of a round, from the fastest on, the mean, without the slowest tenth; and of each round
/// the slowest of a hundred of all.
async fn prove(kit: &Db, proofs: &AuditProofs, ctx: &TenantCtx) -> Result<[Metric; 2]> {
    // The newest entry is that of the export, which waits for its seal.
    let sql =
        "SELECT id FROM tenancy.audit_logs WHERE tenant_id = $1 AND action = 'template.updated'
        ORDER BY content_hash LIMIT $2";
    let ids: Vec<AuditEntryId> = sqlx::query_scalar(sql)
        .bind(ctx.tenant())
        .bind(i64::try_from(PROOFS * ROUNDS)?)
        .fetch_all(&kit.superuser().await?)
        .await?;
    let (mut slowest, mut times) = (Sample::default(), Vec::new());
    for ids in ids.chunks(PROOFS) {
        times = Vec::with_capacity(PROOFS);
        for id in ids {
            let begun = Instant::now();
            proofs.inclusion(ctx, *id).await?;
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        times.sort_by(f64::total_cmp);
        let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
        slowest.push(times.get(at).copied().unwrap_or(f64::NAN));
    }
    let mut tenths = Sample::default();
    for part in times.chunks(PROOFS / 10).take(9) {
        tenths.push(part.iter().sum::<f64>() / f64::from(u32::try_from(part.len())?));
    }
    let (most, all) = (
        "proof of inclusion, 90 of 100",
        "proof of inclusion, p99 of all",
    );
    Ok([
        Metric::alone(most, "ms", &tenths, Better::Lower, 1.0),
        Metric::alone(all, "ms", &slowest, Better::Lower, 1.0),
    ])
}

/// Sealing what a thousand tenants wrote, a hundred entries each.
async fn many_tenants(kit: &Db, audit: &PgAuditLog, sealer: &Sealer) -> Result<Metric> {
    let mut crowd = Vec::with_capacity(TENANTS);
    for _ in 0..TENANTS {
        crowd.push(tenant(&kit.app).await?);
    }
    let each = ENTRIES / u32::try_from(TENANTS)?;
    let mut rates = Sample::default();
    for _ in 0..ROUNDS {
        for ctx in &crowd {
            let mut tx = kit.app.write(ctx).await?;
            let events = (0..each).map(|at| Event::new("template.updated").target("template", at));
            audit.record_batch_in(&mut tx, events.collect()).await?;
            tx.commit().await?;
        }
        let (begun, mut done) = (Instant::now(), 0);
        while done < u64::from(ENTRIES) {
            done += sealer.seal().await?.entries;
            if begun.elapsed() > PATIENCE {
                return Err(format!("{done} entries only: something held the horizon up").into());
            }
        }
        rates.push(rate(done, begun)?);
    }
    let name = "sealer, 1,000 tenants";
    Ok(Metric::alone(
        name,
        "entries/s",
        &rates,
        Better::Higher,
        150_000.0,
    ))
}

async fn seal_all(sealer: &Sealer) -> Result {
    while sealer.health().await?.waiting_since.is_some() {
        sealer.seal().await?;
    }
    Ok(())
}

/// Removing an action of a hot tenant that has much else, each round anew; with the proof of what goes.
async fn remove(
    kit: &Db,
    audit: &PgAuditLog,
    ctx: &TenantCtx,
    sealer: &Sealer,
    retention: &Retention,
) -> Result<Metric> {
    let mut rates = Sample::default();
    for _ in 0..ROUNDS {
        let mut tx = kit.app.write(ctx).await?;
        let events = (0..BATCH).map(|at| Event::new("login.begun").meta("at", at));
        audit.record_batch_in(&mut tx, events.collect()).await?;
        tx.commit().await?;
        seal_all(sealer).await?;
        let before = chrono::Utc::now() + chrono::TimeDelta::minutes(1);
        let rule = RetentionRule::new(ctx.tenant(), before, "past its time")
            .with_action(ActionFilter::exact("login.begun")?);
        let begun = Instant::now();
        let removed = retention.remove(&rule).await?;
        if removed != u64::from(BATCH) {
            return Err(format!("{removed} entries were removed").into());
        }
        rates.push(rate(removed, begun)?);
    }
    let left = "SELECT count(*) FROM tenancy.audit_logs";
    let left = sqlx::query_scalar(left)
        .fetch_one(&kit.superuser().await?)
        .await?;
    let name = "retention of one action, a batch";
    Ok(Metric::alone(name, "entries/s", &rates, Better::Higher, 5_000.0).among(left))
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
