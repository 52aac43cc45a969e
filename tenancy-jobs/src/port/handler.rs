use async_trait::async_trait;
use serde_json::Value;
use tenancy_core::{Error, JobKind, JobRun, TenantTx};

use crate::{Checkpoint, Chunk};

/// Does the work of one kind of job inside the queue's own transaction.
///
/// # Contract
/// What the handler writes in the transaction, the audit entry and the end of the job are one
/// commit: effects in this database happen exactly once. The handler must not commit, and what it
/// does elsewhere happens at least once. The transaction belongs to the tenant and acts as the
/// principal that enqueued the job; holding it open for long holds its locks for as long, so a
/// call to the network belongs into a plain [`JobHandler`](tenancy_core::JobHandler).
///
/// # Concurrency
/// Called for many jobs at once. A worker that was taken for dead may run the same job beside
/// another one; only one of them can commit.
///
/// # Errors and retry
/// An error rolls everything back. [`Error::retry`] decides whether the job is tried again; a
/// denial parks it.
///
/// # Cancellation
/// When [`JobRun::cancel`] is cancelled the handler should return soon. It is dropped a second
/// later if its time is up or its job was cancelled, and its transaction is rolled back.
///
/// # For implementors
/// Progress reports of a run are written outside the transaction and seen at once.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait TxHandler: Send + Sync + 'static {
    /// The kind of job this handler does.
    fn kind(&self) -> JobKind;

    /// Does one job; the value is kept as its result.
    async fn run_in(&self, tx: &mut TenantTx, run: &JobRun) -> Result<Value, Error>;
}

/// Does a long job in steps, each in a transaction of its own.
///
/// # Contract
/// What a step writes, the cursor it returns and the progress are one commit, fenced: a worker
/// that is killed, stopped or replaced in the middle loses nothing and repeats nothing. The last
/// step, the audit entry and the end of the job are one commit as well. Each step must depend on
/// the payload and its checkpoint only.
///
/// # Concurrency
/// The steps of a job follow each other. A worker that was taken for dead may work on a step
/// beside another one; only one of them can commit it.
///
/// # Errors and retry
/// An error rolls its step back; the next try goes on there. A try that got at least one step
/// done does not count against the job's tries.
///
/// # Cancellation
/// As for [`TxHandler`], for each step; the time for a try is the time for a step. A worker that
/// is stopped hands the job back after the step it is in.
///
/// # For implementors
/// A step should take well under a second: it holds its locks until its end. The progress is what
/// the steps return; [`JobRun::progress`] of a batch ignores reports.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait BatchHandler: Send + Sync + 'static {
    /// The kind of job this handler does.
    fn kind(&self) -> JobKind;

    /// How many items there are, for the progress; asked once, before the first step.
    async fn total(&self, tx: &mut TenantTx, run: &JobRun) -> Result<Option<u64>, Error>;

    /// Does the next step after `at`.
    async fn chunk(&self, tx: &mut TenantTx, run: &JobRun, at: &Checkpoint)
    -> Result<Chunk, Error>;
}
