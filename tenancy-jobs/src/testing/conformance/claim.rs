//! Giving jobs out and taking them from the dead.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tenancy_core::{JobId, NewJob};

use super::{DEAD_AFTER, Fixture, KIND, queue, spec};
use crate::{ClaimedJob, Error, JobState, TenantPolicy, Verdict};

/// No job is with two workers, and a tenant with much work does not keep another from its turn.
pub(super) async fn each_job_is_given_out_once_and_fairly(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_fair");
    f.add(&f.a, &queue, 50).await?;
    f.add(&f.b, &queue, 2).await?;
    let (one, two) = (f.worker(&queue).await?, f.worker(&queue).await?);
    let first = f.claim(one, &queue, 10).await?;
    let of_b = first
        .iter()
        .filter(|job| job.job.tenant == f.b.tenant())
        .count();
    assert_eq!(
        (first.len(), of_b),
        (10, 2),
        "the other tenant is in the first batch, which is full"
    );
    let second = f.claim(two, &queue, 100).await?;
    let ids: HashSet<JobId> = first.iter().chain(&second).map(|job| job.job.id).collect();
    assert_eq!(ids.len(), 52, "each once");
    assert_eq!(first.len() + second.len(), 52);
    Ok(())
}

/// Lower priorities run first, then earlier ones; what is scheduled waits.
pub(super) async fn priority_comes_before_time(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_priority");
    let job = |priority| NewJob::new(KIND, json!(priority)).with_priority(priority);
    let later = job(-9).with_run_at(chrono::Utc::now() + chrono::TimeDelta::milliseconds(400));
    let specs = [job(5), job(0), job(-5), later].map(|job| spec(&queue, job));
    f.ledger
        .enqueue(&f.a, specs.into_iter().collect::<Result<_, _>>()?)
        .await?;
    let worker = f.worker(&queue).await?;
    for expected in [-5, 0, 5] {
        let claimed = f.claim(worker, &queue, 1).await?;
        assert_eq!(
            claimed.iter().map(|job| job.priority).collect::<Vec<_>>(),
            [expected]
        );
    }
    assert!(
        f.claim(worker, &queue, 1).await?.is_empty(),
        "its time has not come"
    );
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(f.claim(worker, &queue, 1).await?.len(), 1);
    Ok(())
}

/// Weights share out, a limit is never passed, and a paused tenant waits.
pub(super) async fn policies_hold(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_policy");
    // A limit counts the tenant's jobs in all queues: those of other cases' workers must be back.
    tokio::time::sleep(DEAD_AFTER + Duration::from_millis(100)).await;
    f.store.sweep().await?;
    f.add(&f.a, &queue, 60).await?;
    f.add(&f.b, &queue, 60).await?;
    let worker = f.worker(&queue).await?;
    let of_a = |jobs: &[ClaimedJob]| {
        jobs.iter()
            .filter(|job| job.job.tenant == f.a.tenant())
            .count()
    };
    let set = |policy: TenantPolicy| async move { f.store.set_policy(f.a.tenant(), &policy).await };

    let unset = f.store.policy(f.a.tenant()).await?;
    assert_eq!(unset, TenantPolicy::default());
    let three = TenantPolicy::default()
        .with_weight(3)
        .with_max_in_flight(99);
    set(three).await?;
    assert_eq!(f.store.policy(f.a.tenant()).await?, three);
    let weighted = f.claim(worker, &queue, 20).await?;
    assert_eq!((weighted.len(), of_a(&weighted)), (20, 15), "three to one");
    set(TenantPolicy::default().with_paused(true)).await?;
    assert_eq!(of_a(&f.claim(worker, &queue, 10).await?), 0, "paused");
    f.store.retire(worker).await?;

    let worker = f.worker(&queue).await?;
    set(TenantPolicy::default().with_max_in_flight(4)).await?;
    let limited = f.claim(worker, &queue, 20).await?;
    assert_eq!(
        (limited.len(), of_a(&limited)),
        (20, 4),
        "a limit, and the other fills up"
    );
    assert_eq!(
        of_a(&f.claim(worker, &queue, 5).await?),
        0,
        "the limit is reached"
    );
    set(TenantPolicy::default()).await?;
    f.store.retire(worker).await?;
    Ok(())
}

/// A worker that leaves in order leaves nothing behind, and no try is counted.
pub(super) async fn a_retired_worker_hands_everything_back(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_retire");
    f.add(&f.a, &queue, 3).await?;
    let worker = f.worker(&queue).await?;
    assert_eq!(f.claim(worker, &queue, 2).await?.len(), 2);
    assert_eq!(f.store.retire(worker).await?, 2);
    assert!(!f.store.beat(worker).await?.fence.is_held());
    let next = f.worker(&queue).await?;
    let all = f.claim(next, &queue, 9).await?;
    assert_eq!(
        all.iter().map(|job| job.job.attempt).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    Ok(())
}

/// A worker that stops answering loses its jobs, its fence and its place on the list.
pub(super) async fn a_dead_workers_jobs_go_to_another(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_sweep");
    f.add(&f.a, &queue, 1).await?;
    let dead = f.worker(&queue).await?;
    let job = f.claim_one(dead, &queue).await?;
    assert_eq!(f.store.beat(dead).await?.owned, [job]);
    f.store.sweep().await?;
    assert_eq!(
        f.state(&f.a, job.id).await?,
        Some(JobState::Running),
        "it lives"
    );

    tokio::time::sleep(DEAD_AFTER + Duration::from_millis(100)).await;
    let alive = f.worker(&queue).await?;
    assert!(f.store.sweep().await?.jobs >= 1);
    assert!(!f.store.beat(dead).await?.fence.is_held());
    assert!(f.store.beat(alive).await?.fence.is_held());
    assert!(
        f.settle(dead, job, Verdict::Succeeded(json!(null))).await?,
        "too late"
    );
    f.add(&f.a, &queue, 1).await?;
    assert!(
        f.claim(dead, &queue, 9).await?.is_empty(),
        "the dead are given nothing"
    );
    let taken = f.claim(alive, &queue, 9).await?;
    let other = taken.iter().find(|taken| taken.job.id == job.id);
    assert_eq!(other.map(|taken| taken.job.attempt), Some(2));
    Ok(())
}
