//! Enqueuing jobs and looking after them.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Error as CoreError, Event, JobId, JobSink, NewJob,
    TenantCtx, TenantDb, TenantTx,
};

use super::{Waker, perm};
use crate::{
    Error, ErrorKind, IntoJob, JobLedger, JobPage, JobQuery, JobSpec, JobView, PgJobLedger,
    QueueName, QueueOptions,
};

/// Takes jobs of a tenant, shows them to who may see them, and ends or retries them.
///
/// A job acts as the principal whose context enqueued it, and is checked again when it runs.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use serde::Serialize;
/// # use tenancy_core::{AuditSink, Authorizer, JobKind, NewJob, TenantCtx, TenantDb};
/// # use tenancy_jobs::{Error, Job, JobQueue};
/// #[derive(Serialize)]
/// struct RebuildIndex { template: u64 }
///
/// impl Job for RebuildIndex {
///     const KIND: JobKind = JobKind::from_static("index.rebuild");
/// }
///
/// # async fn run(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>,
/// #     ctx: TenantCtx) -> Result<(), Error> {
/// let jobs = JobQueue::new(db.clone(), authorizer, audit);
///
/// // Stored with the change that asks for it, or not at all.
/// let mut tx = db.write(&ctx).await?;
/// let id = jobs.enqueue_in(&mut tx, RebuildIndex { template: 7 }).await?;
/// tx.commit().await?;
///
/// // The same key again is the same job.
/// let report = NewJob::new(JobKind::from_static("report.send"), serde_json::json!({"month": 5}))
///     .with_idempotency_key("2026-05");
/// let first = jobs.enqueue(&ctx, report.clone()).await?;
/// assert_eq!(jobs.enqueue(&ctx, report).await?, first);
///
/// let job = jobs.get(&ctx, id).await?;
/// println!("{:?} {:?}", job.state, job.progress);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct JobQueue {
    db: TenantDb,
    ledger: Arc<dyn JobLedger>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    options: Arc<QueueOptions>,
    queue: QueueName,
    waker: Waker,
}

impl JobQueue {
    /// Puts the service together, on Postgres, with the defaults of [`QueueOptions`].
    pub fn new(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>) -> Self {
        Self::with_options(db, authorizer, audit, QueueOptions::default())
    }

    /// Puts the service together, on Postgres.
    pub fn with_options(
        db: TenantDb,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
        options: QueueOptions,
    ) -> Self {
        let ledger: Arc<dyn JobLedger> = Arc::new(PgJobLedger::new(db.clone()));
        let waker = Waker::new(options.notify.then(|| Arc::clone(&ledger)));
        let (options, queue) = (Arc::new(options), QueueName::DEFAULT);
        Self {
            db,
            ledger,
            authorizer,
            audit,
            options,
            queue,
            waker,
        }
    }

    /// The same service, with another queue for what is enqueued.
    pub fn on(&self, queue: QueueName) -> Self {
        Self {
            queue,
            ..self.clone()
        }
    }

    /// Wakes workers; give it to the workers of this process with
    /// [`WorkerBuilder::waker`](crate::WorkerBuilder::waker).
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Stores a job in a transaction of its own: three round trips.
    ///
    /// # Errors
    /// As [`JobSpec::prepare`]; [`NotAccessible`](ErrorKind::NotAccessible) if the tenant can only
    /// be read.
    pub async fn enqueue(&self, ctx: &TenantCtx, job: impl IntoJob) -> Result<JobId, Error> {
        let ids = self.enqueue_many(ctx, vec![job.into_job()?]).await?;
        only(ids)
    }

    /// Stores a job in the caller's transaction: it runs only if that commits.
    ///
    /// # Errors
    /// As [`JobSpec::prepare`], before anything is sent, so that the transaction stays usable.
    pub async fn enqueue_in(&self, tx: &mut TenantTx, job: impl IntoJob) -> Result<JobId, Error> {
        let ids = self.enqueue_many_in(tx, vec![job.into_job()?]).await?;
        only(ids)
    }

    /// Stores many jobs in one transaction and one statement, two if a key was known; the ids in
    /// the order of the jobs. All or none.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue); [`Limit`](ErrorKind::Limit) with `job_batch_too_large`.
    pub async fn enqueue_many(
        &self,
        ctx: &TenantCtx,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<JobId>, Error> {
        let specs = self.prepare(jobs)?;
        let ids = self.ledger.enqueue(ctx, specs).await?;
        self.waker.wake(&self.queue);
        Ok(ids)
    }

    /// Stores many jobs in the caller's transaction; the ids in the order of the jobs.
    ///
    /// # Errors
    /// As [`enqueue_many`](Self::enqueue_many).
    pub async fn enqueue_many_in(
        &self,
        tx: &mut TenantTx,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<JobId>, Error> {
        let specs = self.prepare(jobs)?;
        let ids = self.ledger.enqueue_in(tx, specs).await?;
        self.wake_after(tx, self.queue.clone());
        Ok(ids)
    }

    /// A job of the tenant, living or ended.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `jobs.read`; [`NotFound`](ErrorKind::NotFound).
    pub async fn get(&self, ctx: &TenantCtx, id: JobId) -> Result<JobView, Error> {
        self.authorizer.require(ctx, perm::JobsRead::get()).await?;
        self.ledger.get(ctx, id).await?.ok_or_else(|| not_found(id))
    }

    /// A page of the tenant's jobs, the newest first.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `jobs.read`.
    pub async fn list(&self, ctx: &TenantCtx, query: &JobQuery) -> Result<JobPage, Error> {
        self.authorizer.require(ctx, perm::JobsRead::get()).await?;
        let limit = query.limit.clamp(1, 500);
        Ok(JobPage::new(self.ledger.list(ctx, query).await?, limit))
    }

    /// Ends a job that waits, runs, failed or is parked, with its audit entry.
    ///
    /// A running one loses its fence at once: what it does in the queue's own transactions is
    /// rolled back, and its handler is told within a heartbeat.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `jobs.manage`; [`NotFound`](ErrorKind::NotFound) also
    /// if the job has succeeded or was cancelled already.
    pub async fn cancel(&self, ctx: &TenantCtx, id: JobId) -> Result<(), Error> {
        self.authorizer
            .require(ctx, perm::JobsManage::get())
            .await?;
        let mut tx = self.db.write(ctx).await?;
        if !self.ledger.cancel_in(&mut tx, id).await? {
            return Err(not_found(id));
        }
        self.audit
            .record_in(&mut tx, Event::new("job.cancelled").target("job", id))
            .await?;
        Ok(tx.commit().await?)
    }

    /// Puts a failed or parked job back, with its audit entry: as many tries again as the queue
    /// gives by default. A batch goes on at its last checkpoint. It still acts as the principal
    /// that enqueued it.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `jobs.manage`; [`NotFound`](ErrorKind::NotFound) if
    /// no such job failed or is parked.
    pub async fn retry(&self, ctx: &TenantCtx, id: JobId) -> Result<(), Error> {
        self.authorizer
            .require(ctx, perm::JobsManage::get())
            .await?;
        let mut tx = self.db.write(ctx).await?;
        let revived = self
            .ledger
            .retry_in(&mut tx, id, self.options.max_attempts)
            .await?;
        let queue = revived.ok_or_else(|| not_found(id))?;
        self.audit
            .record_in(&mut tx, Event::new("job.retried").target("job", id))
            .await?;
        self.wake_after(&mut tx, queue);
        Ok(tx.commit().await?)
    }

    fn prepare(&self, jobs: Vec<NewJob>) -> Result<Vec<JobSpec>, Error> {
        let most = self.options.max_batch;
        if jobs.len() > most {
            let message = format!("{} jobs at once, and {most} are allowed", jobs.len());
            return Err(Error::limit("job_batch_too_large", message));
        }
        jobs.into_iter()
            .map(|job| JobSpec::prepare(job, &self.queue, &self.options))
            .collect()
    }

    fn wake_after(&self, tx: &mut TenantTx, queue: QueueName) {
        let waker = self.waker.clone();
        tx.after_commit(move || waker.wake(&queue));
    }
}

#[async_trait]
impl JobSink for JobQueue {
    async fn enqueue(&self, ctx: &TenantCtx, job: NewJob) -> Result<JobId, CoreError> {
        Ok(self.enqueue(ctx, job).await?)
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, job: NewJob) -> Result<JobId, CoreError> {
        Ok(self.enqueue_in(tx, job).await?)
    }
}

fn only(ids: Vec<JobId>) -> Result<JobId, Error> {
    ids.into_iter()
        .next()
        .ok_or_else(|| Error::unexpected_row("id"))
}

fn not_found(id: JobId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        "job_unknown",
        format!("there is no such job `{id}` to do that with"),
    )
}

impl fmt::Debug for JobQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobQueue")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
