//! What a worker does beside its jobs: it says that it lives, sweeps up after those that don't,
//! forgets what is old, and listens.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{engine::Engine, lease::Lease};
use crate::{ClaimRequest, JobRef, Settlement, Verdict, model::jittered, postgres};

/// How often old keys and dead jobs are looked for.
const PURGE: Duration = Duration::from_mins(5);
/// Longest time between two sweeps.
const SWEEP: Duration = Duration::from_secs(2);

/// Starts the side work; it ends when the set is dropped.
pub(super) fn start(engine: &Arc<Engine>, lease: &Arc<Lease>) -> JoinSet<()> {
    let mut keepers = JoinSet::new();
    keepers.spawn(beat(Arc::clone(engine), Arc::clone(lease)));
    keepers.spawn(sweep(Arc::clone(engine)));
    keepers.spawn(purge(Arc::clone(engine)));
    if engine.options.listen {
        let (db, queue) = (engine.worker_db.clone(), engine.queue.clone());
        keepers.spawn(postgres::listen(db, queue, Arc::clone(&engine.wake)));
    }
    keepers
}

/// Keeps the worker on the list, until it turns out not to be on it any more.
async fn beat(engine: Arc<Engine>, lease: Arc<Lease>) {
    let options = &engine.options;
    let mut alive = Instant::now();
    let mut unknown = HashSet::new();
    while !lease.lost.is_cancelled() {
        sleep(options.heartbeat).await;
        let held = lease.jobs();
        let answer = timeout(options.heartbeat, engine.store.beat(lease.worker())).await;
        match answer {
            Ok(Ok(beat)) if beat.fence.is_held() => {
                alive = Instant::now();
                let owned: HashSet<JobRef> = beat.owned.into_iter().collect();
                lease.revoke(held.difference(&owned).copied());
                unknown = hand_back(&engine, &lease, &owned, &unknown).await;
            }
            Ok(Ok(_)) => lease.lost.cancel(),
            // Others take it for dead by now, whether they say so or not.
            Ok(Err(_)) | Err(_) if alive.elapsed() > options.dead_after => lease.lost.cancel(),
            Ok(Err(error)) => tracing::warn!(%error, "a worker's heartbeat failed"),
            Err(_) => tracing::warn!("a worker's heartbeat took too long"),
        }
    }
}

/// Hands back jobs that the worker was given without getting to know it: the answer to a claim
/// was lost. They have to be unknown at two beats, since an answer may be on its way.
async fn hand_back(
    engine: &Engine,
    lease: &Lease,
    owned: &HashSet<JobRef>,
    before: &HashSet<JobRef>,
) -> HashSet<JobRef> {
    let held = lease.jobs();
    let unknown: HashSet<JobRef> = owned.difference(&held).copied().collect();
    let (old, new): (Vec<_>, Vec<_>) = unknown.into_iter().partition(|job| before.contains(job));
    if !old.is_empty() {
        tracing::warn!(
            jobs = old.len(),
            "jobs were claimed without an answer and are handed back"
        );
        let release = |job| Settlement::new(job, Verdict::Release);
        let back: Vec<Settlement> = old.into_iter().map(release).collect();
        let nothing = ClaimRequest::new(engine.queue.clone(), Vec::new(), 0);
        if let Err(error) = engine.store.exchange(lease.worker(), &back, &nothing).await {
            tracing::warn!(%error, "jobs could not be handed back");
        }
        engine.wake.notify_one();
    }
    new.into_iter().collect()
}

/// Gives the jobs of dead workers to the living, whoever comes first.
async fn sweep(engine: Arc<Engine>) {
    let every = (engine.options.dead_after / 5).min(SWEEP);
    loop {
        sleep(jittered(every)).await;
        match engine.store.sweep().await {
            Ok(swept) if swept.jobs > 0 => {
                tracing::warn!(
                    workers = swept.workers,
                    jobs = swept.jobs,
                    "dead workers' jobs were given back"
                );
                metrics::counter!("tenancy_jobs_swept_total").increment(swept.jobs);
                engine.wake.notify_one();
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a sweep failed"),
        }
    }
}

async fn purge(engine: Arc<Engine>) {
    loop {
        sleep(jittered(PURGE)).await;
        if let Err(error) = engine.store.purge(engine.options.keep_dead_days).await {
            tracing::debug!(%error, "a purge failed");
        }
    }
}
