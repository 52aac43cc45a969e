use async_trait::async_trait;
use tenancy_core::{JobId, TenantCtx, TenantTx};

use crate::{
    Checkpoint, Error, Fence, JobQuery, JobRef, JobSpec, JobView, QueueName, Settlement, WorkerId,
};

/// A tenant's own jobs: what he enqueues, sees and ends, under his context.
///
/// # Contract
/// Nothing here reaches across tenants. What happens `_in` a transaction is there exactly when
/// that commits. A job whose key is known is not stored again: its id is the one that exists,
/// also within one call and between calls that run at once. Writes of a worker are fenced by
/// (job, attempt, worker), and answer [`Fence::Lost`] without a change where it does not fit.
///
/// # Concurrency
/// Any number of calls at once. A call whose key is just being stored by another waits for that
/// one's end.
///
/// # Errors and retry
/// Bad input and limits were checked before, in [`JobSpec::prepare`]. A store that can't be
/// reached is [`Unavailable`](crate::ErrorKind::Unavailable).
///
/// # Cancellation
/// Follows the transaction; a dropped [`enqueue`](Self::enqueue) has stored all jobs or none.
///
/// # For implementors
/// `tenancy_jobs::testing::conformance` is the suite, together with [`JobStore`](crate::JobStore).
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait JobLedger: Send + Sync + 'static {
    /// Stores jobs in a transaction of their own; the ids in the order of the jobs.
    async fn enqueue(&self, ctx: &TenantCtx, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, Error>;

    /// Stores jobs in the caller's transaction; the ids in the order of the jobs.
    async fn enqueue_in(&self, tx: &mut TenantTx, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, Error>;

    /// Tells workers in other processes that there is work. It may get lost.
    async fn announce(&self, queue: &QueueName) -> Result<(), Error>;

    /// A job, living or ended.
    async fn get(&self, ctx: &TenantCtx, id: JobId) -> Result<Option<JobView>, Error>;

    /// Jobs by their time, the newest first.
    async fn list(&self, ctx: &TenantCtx, query: &JobQuery) -> Result<Vec<JobView>, Error>;

    /// Ends a job that waits, runs or is dead; false if there is none.
    async fn cancel_in(&self, tx: &mut TenantTx, id: JobId) -> Result<bool, Error>;

    /// Puts a dead job back with this many tries; its queue, or `None` if there is none.
    async fn retry_in(
        &self,
        tx: &mut TenantTx,
        id: JobId,
        attempts: u16,
    ) -> Result<Option<QueueName>, Error>;

    /// Where a batch goes on.
    async fn checkpoint(&self, ctx: &TenantCtx, id: JobId) -> Result<Option<Checkpoint>, Error>;

    /// Writes a checkpoint; until the transaction ends the job can't be given to another worker.
    /// A cursor of `None` leaves the one that is there.
    async fn checkpoint_in(
        &self,
        tx: &mut TenantTx,
        worker: WorkerId,
        job: JobRef,
        checkpoint: &Checkpoint,
    ) -> Result<Fence, Error>;

    /// Ends a try in the caller's transaction.
    async fn settle_in(
        &self,
        tx: &mut TenantTx,
        worker: WorkerId,
        settlement: &Settlement,
    ) -> Result<Fence, Error>;
}
