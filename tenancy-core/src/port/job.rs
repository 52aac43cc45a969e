use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::Value;

use crate::{Error, JobId, JobKind, JobRun, NewJob, TenantCtx, TenantTx};

/// Takes work to be done later.
///
/// # Contract
/// [`enqueue_in`](Self::enqueue_in) stores the job in the caller's transaction: it runs only if
/// that commits, and then at least once. It runs for the transaction's tenant, as its principal.
/// Enqueuing a job whose idempotency key is known returns the job that exists.
///
/// # Concurrency
/// Two processes that enqueue the same key at once get the same id.
///
/// # Errors and retry
/// A payload or a queue over its limit is [`Limit`](crate::ErrorKind::Limit), the payload's with the code
/// `job_payload_too_large`; a bad key is [`InvalidInput`](crate::ErrorKind::InvalidInput); and neither
/// harms the caller's transaction. These say that the job is to blame; any other error, that it may be
/// taken another time. A
/// tenant that is suspended takes no work ([`Suspended`](crate::ErrorKind::Suspended)).
///
/// # Cancellation
/// Follows the transaction; a dropped `enqueue` has stored the job once or not at all.
///
/// # For implementors
/// `tenancy_core::testing::conformance::job_sink` is the suite. Run it on a real database.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait JobSink: Send + Sync + 'static {
    /// Stores a job in a short transaction of its own.
    async fn enqueue(&self, ctx: &TenantCtx, job: NewJob) -> Result<JobId, Error>;

    /// Stores a job in the caller's transaction.
    async fn enqueue_in(&self, tx: &mut TenantTx, job: NewJob) -> Result<JobId, Error>;
}

/// Does the work of one kind of job.
///
/// # Contract
/// Called at least once for each job, each time with the tenant's context restored and checked
/// again. `Ok` ends the job. An error whose [`retry`](Error::retry) allows it is tried again until
/// the attempts are used up; any other ends it as failed.
///
/// # Concurrency
/// Called for many jobs at once. A job whose worker was thought dead may run twice for a while:
/// effects must be idempotent, or be fenced by the queue's own transaction.
///
/// # Errors and retry
/// [`Error::retry`] decides, as above.
///
/// # Cancellation
/// When [`JobRun::cancel`] is cancelled the handler should return soon; it is dropped later.
///
/// # For implementors
/// Progress is reported through [`JobRun::progress`].
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait JobHandler: Send + Sync + 'static {
    /// The kind of job this handler does.
    fn kind(&self) -> JobKind;

    /// Does one job; the value is kept as its result.
    async fn run(&self, ctx: &TenantCtx, run: &JobRun) -> Result<Value, Error>;
}

/// Told by a handler how far its work is; tells whoever watches.
///
/// # Contract
/// The last report wins. Reports may be folded together; none is needed for the work to end.
///
/// # Concurrency
/// One handler reports at a time.
///
/// # Errors and retry
/// A report that can't be stored is dropped, not an error of the work.
///
/// # Cancellation
/// A dropped report may or may not be seen.
///
/// # For implementors
/// A test can use `tenancy_core::testing::NoProgress`.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait JobProgress: Debug + Send + Sync + 'static {
    /// `done` of `total` units are done.
    async fn report(&self, done: u64, total: u64);
}
