//! What every [`JobStore`] with its [`JobLedger`] must do.

mod claim;
mod enqueue;
mod settle;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tenancy_core::{JobId, JobKind, NewJob, TenantCtx, TenantDb};

use crate::{
    ClaimRequest, ClaimedJob, Error, JobLedger, JobRef, JobSpec, JobState, JobStore, QueueName,
    QueueOptions, Settlement, Verdict, WorkerId, WorkerInfo,
};

/// What the suite works on. Cases leave jobs behind: give each run a store of its own.
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

/// Runs all cases. An error means that a call failed which must not.
///
/// # Panics
/// Where the contract is broken.
pub async fn all(fixture: &Fixture) -> Result<(), Error> {
    enqueue::a_key_is_one_job(fixture).await?;
    enqueue::a_rolled_back_enqueue_is_no_job(fixture).await?;
    claim::each_job_is_given_out_once_and_fairly(fixture).await?;
    claim::priority_comes_before_time(fixture).await?;
    settle::only_the_holder_of_the_try_can_settle(fixture).await?;
    settle::a_retry_counts_and_a_release_does_not(fixture).await?;
    claim::a_dead_workers_jobs_go_to_another(fixture).await?;
    settle::a_failed_job_can_be_retried_and_keeps_its_checkpoint(fixture).await?;
    settle::a_cancelled_job_is_taken_from_its_worker(fixture).await?;
    claim::a_retired_worker_hands_everything_back(fixture).await?;
    claim::policies_hold(fixture).await?;
    enqueue::tenants_see_their_own_jobs_only(fixture).await
}

impl Fixture {
    async fn add(
        &self,
        ctx: &TenantCtx,
        queue: &QueueName,
        jobs: usize,
    ) -> Result<Vec<JobId>, Error> {
        let specs = (0..jobs).map(|n| spec(queue, NewJob::new(KIND, json!({ "n": n }))));
        self.ledger
            .enqueue(ctx, specs.collect::<Result<_, _>>()?)
            .await
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
        Ok(!self
            .store
            .exchange(worker, &done, &nothing)
            .await?
            .stale
            .is_empty())
    }

    async fn state(&self, ctx: &TenantCtx, id: JobId) -> Result<Option<JobState>, Error> {
        Ok(self.ledger.get(ctx, id).await?.map(|job| job.state))
    }
}

fn queue(name: &'static str) -> QueueName {
    QueueName::from_static(name)
}

fn spec(queue: &QueueName, job: NewJob) -> Result<JobSpec, Error> {
    JobSpec::prepare(job, queue, &QueueOptions::default())
}
