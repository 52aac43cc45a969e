//! What every [`JobStore`] with its [`JobLedger`] must do. A case asserts, and returns an error
//! only if a call failed that must not.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::json;
use tenancy_core::{JobId, JobKind, NewJob, TenantCtx, TenantDb};

use crate::{
    Checkpoint, ClaimRequest, ClaimedJob, Error, Fault, JobLedger, JobQuery, JobRef, JobSpec,
    JobState, JobStore, QueueName, QueueOptions, Settlement, TenantPolicy, Verdict, WorkerId,
    WorkerInfo,
};

/// What the suite works on. Each case leaves jobs behind, so each wants an own queue name.
#[expect(missing_debug_implementations, reason = "it holds ports")]
#[expect(clippy::exhaustive_structs, reason = "a test fills it")]
pub struct Fixture {
    /// The side of the workers.
    pub store: Arc<dyn JobStore>,
    /// The side of the tenants, over the same jobs.
    pub ledger: Arc<dyn JobLedger>,
    /// For the transactions of the `_in` calls.
    pub db: TenantDb,
    /// One tenant.
    pub a: TenantCtx,
    /// Another one.
    pub b: TenantCtx,
}

const KIND: JobKind = JobKind::from_static("suite.job");
const DEAD_AFTER: Duration = Duration::from_millis(300);

/// Runs all cases.
pub async fn all(fixture: &Fixture) -> Result<(), Error> {
    a_key_is_one_job(fixture).await?;
    a_rolled_back_enqueue_is_no_job(fixture).await?;
    each_job_is_given_out_once_and_fairly(fixture).await?;
    priority_comes_before_time(fixture).await?;
    only_the_holder_of_the_try_can_settle(fixture).await?;
    a_retry_counts_and_a_release_does_not(fixture).await?;
    a_dead_workers_jobs_go_to_another(fixture).await?;
    a_failed_job_can_be_retried_and_keeps_its_checkpoint(fixture).await?;
    a_cancelled_job_is_taken_from_its_worker(fixture).await?;
    a_retired_worker_hands_everything_back(fixture).await?;
    policies_hold(fixture).await?;
    tenants_see_their_own_jobs_only(fixture).await
}

impl Fixture {
    fn spec(&self, queue: &QueueName, job: NewJob) -> Result<JobSpec, Error> {
        JobSpec::prepare(job, queue, &QueueOptions::default())
    }

    async fn add(&self, ctx: &TenantCtx, queue: &QueueName, jobs: usize) -> Result<Vec<JobId>, Error> {
        let specs = (0..jobs).map(|n| self.spec(queue, NewJob::new(KIND, json!({ "n": n }))));
        self.ledger.enqueue(ctx, specs.collect::<Result<_, _>>()?).await
    }

    async fn worker(&self, queue: &QueueName) -> Result<WorkerId, Error> {
        let info = WorkerInfo::new(queue.clone(), "suite", DEAD_AFTER);
        self.store.register(&info).await?;
        Ok(info.id)
    }

    async fn claim(
        &self,
        worker: WorkerId,
        queue: &QueueName,
        limit: usize,
    ) -> Result<Vec<ClaimedJob>, Error> {
        let request = ClaimRequest::new(queue.clone(), vec![KIND], limit);
        Ok(self.store.exchange(worker, &[], &request).await?.claimed)
    }

    async fn claim_one(&self, worker: WorkerId, queue: &QueueName) -> Result<JobRef, Error> {
        let claimed = self.claim(worker, queue, 1).await?;
        let job = claimed.first().map(|job| job.job);
        job.ok_or_else(|| Error::unexpected_row("claim: there should be one"))
    }

    /// Settles through the workers' side; whether it was stale.
    async fn settle(&self, worker: WorkerId, job: JobRef, verdict: Verdict) -> Result<bool, Error> {
        let nothing = ClaimRequest::new(QueueName::DEFAULT, Vec::new(), 0);
        let done = [Settlement::new(job, verdict)];
        Ok(!self.store.exchange(worker, &done, &nothing).await?.stale.is_empty())
    }

    async fn state(&self, ctx: &TenantCtx, id: JobId) -> Result<Option<JobState>, Error> {
        Ok(self.ledger.get(ctx, id).await?.map(|job| job.state))
    }
}

fn queue(name: &'static str) -> QueueName {
    QueueName::from_static(name)
}

/// The same key is the same job: later, within one call, and not in another tenant.
pub async fn a_key_is_one_job(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_keys");
    let keyed = |key: &str| f.spec(&queue, NewJob::new(KIND, json!(1)).with_idempotency_key(key));
    let bulk = vec![keyed("x")?, keyed("y")?, f.spec(&queue, NewJob::new(KIND, json!(2)))?, keyed("x")?];
    let ids = f.ledger.enqueue(&f.a, bulk).await?;
    assert_eq!(ids.first(), ids.get(3), "the same key within one call");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3);
    let again = f.ledger.enqueue(&f.a, vec![keyed("y")?, keyed("z")?]).await?;
    assert_eq!(again.first(), ids.get(1), "the same key in a later call");
    let other = f.ledger.enqueue(&f.b, vec![keyed("x")?]).await?;
    assert_ne!(other.first(), ids.first(), "another tenant's key is another key");

    let worker = f.worker(&queue).await?;
    let claimed = f.claim(worker, &queue, 100).await?;
    assert_eq!(claimed.len(), 5, "x, y, z and the one without a key, and the other tenant's x");
    for job in claimed {
        assert!(!f.settle(worker, job.job, Verdict::Succeeded(json!(null))).await?);
    }
    let after_end = f.ledger.enqueue(&f.a, vec![keyed("x")?]).await?;
    assert_eq!(after_end.first(), ids.first(), "a key outlives its job");
    assert!(f.claim(worker, &queue, 100).await?.is_empty());
    Ok(())
}

/// A job exists exactly when the transaction that enqueued it was committed.
pub async fn a_rolled_back_enqueue_is_no_job(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_rollback");
    let spec = || f.spec(&queue, NewJob::new(KIND, json!(1)).with_idempotency_key("once"));
    let mut tx = f.db.write(&f.a).await?;
    let lost = f.ledger.enqueue_in(&mut tx, vec![spec()?]).await?;
    tx.rollback().await?;
    let worker = f.worker(&queue).await?;
    assert!(f.claim(worker, &queue, 10).await?.is_empty());

    let mut tx = f.db.write(&f.a).await?;
    let kept = f.ledger.enqueue_in(&mut tx, vec![spec()?]).await?;
    tx.commit().await?;
    assert_ne!(kept, lost, "the key of what was rolled back is free");
    assert_eq!(f.claim(worker, &queue, 10).await?.len(), 1);
    Ok(())
}

/// No job is with two workers, and a tenant with much work does not keep another from its turn.
pub async fn each_job_is_given_out_once_and_fairly(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_fair");
    f.add(&f.a, &queue, 50).await?;
    f.add(&f.b, &queue, 2).await?;
    let (one, two) = (f.worker(&queue).await?, f.worker(&queue).await?);
    let first = f.claim(one, &queue, 10).await?;
    let of_b = first.iter().filter(|job| job.job.tenant == f.b.tenant()).count();
    assert_eq!((first.len(), of_b), (10, 2), "the other tenant is in the first batch, which is full");
    let second = f.claim(two, &queue, 100).await?;
    let ids: HashSet<JobId> = first.iter().chain(&second).map(|job| job.job.id).collect();
    assert_eq!(ids.len(), 52, "each once");
    assert_eq!(first.len() + second.len(), 52);
    Ok(())
}

/// Lower priorities run first, then earlier ones; what is scheduled waits.
pub async fn priority_comes_before_time(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_priority");
    let job = |priority| NewJob::new(KIND, json!(priority)).with_priority(priority);
    let later = job(-9).with_run_at(chrono::Utc::now() + chrono::TimeDelta::milliseconds(400));
    let specs = [job(5), job(0), job(-5), later].map(|job| f.spec(&queue, job));
    f.ledger.enqueue(&f.a, specs.into_iter().collect::<Result<_, _>>()?).await?;
    let worker = f.worker(&queue).await?;
    for expected in [-5, 0, 5] {
        let claimed = f.claim(worker, &queue, 1).await?;
        assert_eq!(claimed.iter().map(|job| job.priority).collect::<Vec<_>>(), [expected]);
    }
    assert!(f.claim(worker, &queue, 1).await?.is_empty(), "its time has not come");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(f.claim(worker, &queue, 1).await?.len(), 1);
    Ok(())
}

/// A completion by another worker, or of another try, changes nothing.
pub async fn only_the_holder_of_the_try_can_settle(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_fence");
    f.add(&f.a, &queue, 1).await?;
    let (worker, other) = (f.worker(&queue).await?, f.worker(&queue).await?);
    let job = f.claim_one(worker, &queue).await?;
    let done = || Verdict::Succeeded(json!("mine"));
    assert!(f.settle(other, job, done()).await?, "another worker");
    let later = JobRef::new(job.tenant, job.id, job.attempt + 1);
    assert!(f.settle(worker, later, done()).await?, "another try");
    let foreign = JobRef::new(f.b.tenant(), job.id, job.attempt);
    assert!(f.settle(worker, foreign, done()).await?, "another tenant");
    assert_eq!(f.state(&f.a, job.id).await?, Some(JobState::Running));

    let mut tx = f.db.write(&f.a).await?;
    let stale = f.ledger.settle_in(&mut tx, other, &Settlement::new(job, done())).await?;
    assert!(!stale.is_held());
    let checkpoint = Checkpoint::new(1, None, Some(json!(1)));
    assert!(!f.ledger.checkpoint_in(&mut tx, other, job, &checkpoint).await?.is_held());
    tx.rollback().await?;

    assert!(!f.settle(worker, job, done()).await?, "its own");
    assert!(f.settle(worker, job, done()).await?, "a second time");
    let view = f.ledger.get(&f.a, job.id).await?;
    assert_eq!(view.and_then(|job| job.result), Some(json!("mine")));
    Ok(())
}

/// A retry is another try, later; a release and a resumption are the same one again.
pub async fn a_retry_counts_and_a_release_does_not(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_retry");
    f.add(&f.a, &queue, 1).await?;
    let worker = f.worker(&queue).await?;
    let fault = || Fault::new("suite", "no luck");
    let first = f.claim_one(worker, &queue).await?;
    assert!(!f.settle(worker, first, Verdict::Release).await?);
    let again = f.claim_one(worker, &queue).await?;
    assert_eq!((first.attempt, again.attempt), (1, 1));
    let resume = Verdict::Resume { fault: fault(), delay: Duration::ZERO };
    assert!(!f.settle(worker, again, resume).await?);
    let third = f.claim_one(worker, &queue).await?;
    assert_eq!(third.attempt, 1);
    let retry = Verdict::Retry { fault: fault(), delay: Duration::from_millis(200) };
    assert!(!f.settle(worker, third, retry).await?);
    assert_eq!(f.state(&f.a, first.id).await?, Some(JobState::Scheduled));
    assert!(f.claim(worker, &queue, 1).await?.is_empty());
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(f.claim_one(worker, &queue).await?.attempt, 2);
    let view = f.ledger.get(&f.a, first.id).await?;
    assert_eq!(view.and_then(|job| job.fault), Some(fault()));
    Ok(())
}

/// A worker that stops answering loses its jobs, its fence and its place on the list.
pub async fn a_dead_workers_jobs_go_to_another(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_sweep");
    f.add(&f.a, &queue, 1).await?;
    let dead = f.worker(&queue).await?;
    let job = f.claim_one(dead, &queue).await?;
    assert_eq!(f.store.beat(dead).await?.owned, [job]);
    f.store.sweep().await?;
    assert_eq!(f.state(&f.a, job.id).await?, Some(JobState::Running), "it lives");

    tokio::time::sleep(DEAD_AFTER + Duration::from_millis(100)).await;
    let alive = f.worker(&queue).await?;
    assert!(f.store.sweep().await?.jobs >= 1);
    assert!(!f.store.beat(dead).await?.fence.is_held());
    assert!(f.store.beat(alive).await?.fence.is_held());
    assert!(f.settle(dead, job, Verdict::Succeeded(json!(null))).await?, "too late");
    f.add(&f.a, &queue, 1).await?;
    assert!(f.claim(dead, &queue, 9).await?.is_empty(), "the dead are given nothing");
    let taken = f.claim(alive, &queue, 9).await?;
    let other = taken.iter().find(|taken| taken.job.id == job.id);
    assert_eq!(other.map(|taken| taken.job.attempt), Some(2));
    Ok(())
}

/// Failed and parked jobs are kept whole, with where they were.
pub async fn a_failed_job_can_be_retried_and_keeps_its_checkpoint(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_dead");
    f.add(&f.a, &queue, 1).await?;
    let worker = f.worker(&queue).await?;
    let job = f.claim_one(worker, &queue).await?;
    let checkpoint = Checkpoint::new(7, Some(9), Some(json!({"at": 7})));
    let mut tx = f.db.write(&f.a).await?;
    assert!(f.ledger.checkpoint_in(&mut tx, worker, job, &checkpoint).await?.is_held());
    tx.commit().await?;
    let fault = Fault::new("suite", "for good");
    assert!(!f.settle(worker, job, Verdict::Failed(fault.clone())).await?);
    let view = f.ledger.get(&f.a, job.id).await?;
    let view = view.ok_or_else(|| Error::unexpected_row("state"))?;
    assert_eq!((view.state, view.fault), (JobState::Failed, Some(fault)));
    assert_eq!(view.payload, Some(json!({"n": 0})));

    let mut tx = f.db.write(&f.b).await?;
    assert_eq!(f.ledger.retry_in(&mut tx, job.id, 3).await?, None, "another tenant's");
    tx.rollback().await?;
    let mut tx = f.db.write(&f.a).await?;
    assert_eq!(f.ledger.retry_in(&mut tx, job.id, 3).await?, Some(queue.clone()));
    tx.commit().await?;
    let again = f.claim(worker, &queue, 1).await?;
    let tries = again.first().map(|job| (job.job.attempt, job.max_attempts));
    assert_eq!(tries, Some((2, 4)), "three tries more");
    assert_eq!(f.ledger.checkpoint(&f.a, job.id).await?, Some(checkpoint));
    Ok(())
}

/// Who has a job that was cancelled learns of it and can't settle it.
pub async fn a_cancelled_job_is_taken_from_its_worker(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_cancel");
    let waiting = f.add(&f.a, &queue, 2).await?;
    let worker = f.worker(&queue).await?;
    let running = f.claim_one(worker, &queue).await?;
    for id in waiting {
        let mut tx = f.db.write(&f.b).await?;
        assert!(!f.ledger.cancel_in(&mut tx, id).await?, "another tenant's");
        tx.rollback().await?;
        let mut tx = f.db.write(&f.a).await?;
        assert!(f.ledger.cancel_in(&mut tx, id).await?);
        tx.commit().await?;
        assert_eq!(f.state(&f.a, id).await?, Some(JobState::Cancelled));
    }
    assert!(f.store.beat(worker).await?.owned.is_empty());
    assert!(f.settle(worker, running, Verdict::Succeeded(json!(null))).await?);
    assert!(f.claim(worker, &queue, 9).await?.is_empty());
    Ok(())
}

/// A worker that leaves in order leaves nothing behind, and no try is counted.
pub async fn a_retired_worker_hands_everything_back(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_retire");
    f.add(&f.a, &queue, 3).await?;
    let worker = f.worker(&queue).await?;
    assert_eq!(f.claim(worker, &queue, 2).await?.len(), 2);
    assert_eq!(f.store.retire(worker).await?, 2);
    assert!(!f.store.beat(worker).await?.fence.is_held());
    let next = f.worker(&queue).await?;
    let all = f.claim(next, &queue, 9).await?;
    assert_eq!(all.iter().map(|job| job.job.attempt).collect::<Vec<_>>(), [1, 1, 1]);
    Ok(())
}

/// Weights share out, a limit is never passed, and a paused tenant waits.
pub async fn policies_hold(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_policy");
    f.add(&f.a, &queue, 60).await?;
    f.add(&f.b, &queue, 60).await?;
    let worker = f.worker(&queue).await?;
    let of_a = |jobs: &[ClaimedJob]| jobs.iter().filter(|job| job.job.tenant == f.a.tenant()).count();
    let set = |policy: TenantPolicy| async move { f.store.set_policy(f.a.tenant(), &policy).await };

    set(TenantPolicy::default().with_weight(3)).await?;
    let weighted = f.claim(worker, &queue, 20).await?;
    assert_eq!((weighted.len(), of_a(&weighted)), (20, 15), "three to one");
    set(TenantPolicy::default().with_paused(true)).await?;
    assert_eq!(of_a(&f.claim(worker, &queue, 10).await?), 0, "paused");
    f.store.retire(worker).await?;

    let worker = f.worker(&queue).await?;
    set(TenantPolicy::default().with_max_in_flight(4)).await?;
    let limited = f.claim(worker, &queue, 20).await?;
    assert_eq!((limited.len(), of_a(&limited)), (20, 4), "a limit, and the other fills up");
    assert_eq!(of_a(&f.claim(worker, &queue, 5).await?), 0, "the limit is reached");
    set(TenantPolicy::default()).await?;
    f.store.retire(worker).await?;
    Ok(())
}

/// Nothing of a tenant's queue shows in another's.
pub async fn tenants_see_their_own_jobs_only(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_views");
    let mine = f.add(&f.a, &queue, 3).await?;
    let query = || JobQuery::default().with_queue(queue.clone()).with_limit(2);
    for id in &mine {
        assert!(f.ledger.get(&f.b, *id).await?.is_none());
        assert!(f.ledger.checkpoint(&f.b, *id).await?.is_none());
    }
    assert!(f.ledger.list(&f.b, &query()).await?.is_empty());
    let page = f.ledger.list(&f.a, &query()).await?;
    let ids: Vec<JobId> = page.iter().map(|job| job.id).collect();
    let newest: Vec<JobId> = mine.iter().rev().take(2).copied().collect();
    assert_eq!(ids, newest, "the newest first");
    let rest = match ids.last() {
        Some(last) => f.ledger.list(&f.a, &query().with_before(*last)).await?,
        None => Vec::new(),
    };
    assert_eq!(rest.iter().map(|job| job.id).collect::<Vec<_>>(), mine.get(..1).unwrap_or_default());
    let ready = query().with_states([JobState::Failed]);
    assert!(f.ledger.list(&f.a, &ready).await?.is_empty());
    Ok(())
}
