//! Putting a worker together and running it.

use std::{fmt, sync::Arc};

use tenancy_core::{AuditSink, Authorizer, JobHandler, JobKind, PermissionKey, TenantDb, WorkerDb};
use tokio_util::sync::CancellationToken;

use super::{
    WorkerReport,
    engine::Engine,
    handlers::{Handler, Handlers},
    report::Counters,
    session,
};
use crate::{
    BatchHandler, Error, PgJobLedger, PgJobStore, QueueName, TxHandler, Waker, WorkerOptions,
};

/// Runs the jobs of one queue, of all tenants, in their contexts.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, JobHandler, TenantDb, WorkerDb};
/// # use tenancy_jobs::{BatchHandler, Error, JobQueue, Worker, WorkerOptions};
/// # use tokio_util::sync::CancellationToken;
/// # async fn run(worker_db: WorkerDb, db: TenantDb, audit: Arc<dyn AuditSink>, queue: JobQueue,
/// #     send: Arc<dyn JobHandler>, import: Arc<dyn BatchHandler>) -> Result<(), Error> {
/// let worker = Worker::builder(worker_db, db, audit)
///     .handler(send)
///     .batch_handler(import)
///     .waker(&queue.waker())
///     .options(WorkerOptions::default().with_concurrency(16))
///     .build()?;
/// let stop = CancellationToken::new();
/// let report = worker.run(stop).await?;
/// println!("{} done, {} failed", report.succeeded, report.failed);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Worker {
    engine: Arc<Engine>,
}

impl Worker {
    /// Starts putting a worker together: `worker` claims, `db` is where the jobs act, and what
    /// ends is recorded in `audit`.
    pub fn builder(worker: WorkerDb, db: TenantDb, audit: Arc<dyn AuditSink>) -> WorkerBuilder {
        WorkerBuilder {
            worker,
            db,
            audit,
            authorizer: None,
            handlers: Handlers::default(),
            queue: QueueName::DEFAULT,
            waker: None,
            options: WorkerOptions::default(),
        }
    }

    /// Works until `stop` is cancelled, then drains: nothing new is claimed, what was not started
    /// is handed back at once, and what runs is given [`WorkerOptions::drain`] to end.
    ///
    /// A database that can't be reached is waited for. A worker that was taken for dead drops what
    /// it holds and starts anew under a fresh identity.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) if the schema or the login does not fit.
    pub async fn run(&self, stop: CancellationToken) -> Result<WorkerReport, Error> {
        session::run(&self.engine, &stop).await?;
        Ok(self.report())
    }

    /// What the worker did so far.
    pub fn report(&self) -> WorkerReport {
        self.engine.counters.report()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("queue", &self.engine.queue)
            .finish_non_exhaustive()
    }
}

/// Puts a [`Worker`] together.
pub struct WorkerBuilder {
    worker: WorkerDb,
    db: TenantDb,
    audit: Arc<dyn AuditSink>,
    authorizer: Option<Arc<dyn Authorizer>>,
    handlers: Handlers,
    queue: QueueName,
    waker: Option<Waker>,
    options: WorkerOptions,
}

impl WorkerBuilder {
    /// Adds a handler that acts outside a transaction of the queue: at least once.
    pub fn handler(mut self, handler: Arc<dyn JobHandler>) -> Self {
        self.handlers.add(Handler::Plain(handler));
        self
    }

    /// Adds a handler whose effects are committed with the end of its job: once.
    pub fn tx_handler(mut self, handler: Arc<dyn TxHandler>) -> Self {
        self.handlers.add(Handler::Tx(handler));
        self
    }

    /// Adds a handler that works in steps, each committed with its checkpoint: each step once.
    pub fn batch_handler(mut self, handler: Arc<dyn BatchHandler>) -> Self {
        self.handlers.add(Handler::Batch(handler));
        self
    }

    /// Parks jobs of a kind whose enqueuer does not hold this permission when they run. Needs an
    /// [`authorizer`](Self::authorizer), which records the denial.
    pub fn require(mut self, kind: JobKind, permission: PermissionKey) -> Self {
        self.handlers.require(kind, permission);
        self
    }

    /// Who decides about the permissions of [`require`](Self::require).
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = Some(authorizer);
        self
    }

    /// Which queue to serve; [`QueueName::DEFAULT`] otherwise. For two queues run two workers.
    pub fn queue(mut self, queue: QueueName) -> Self {
        self.queue = queue;
        self
    }

    /// Is woken by what is enqueued in this process, without the detour over the database.
    pub fn waker(mut self, waker: &Waker) -> Self {
        self.waker = Some(waker.clone());
        self
    }

    /// How the worker works.
    pub fn options(mut self, options: WorkerOptions) -> Self {
        self.options = options;
        self
    }

    /// The worker; nothing runs yet.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured): no handler, two for one kind, or a
    /// permission that nobody can check.
    pub fn build(self) -> Result<Worker, Error> {
        self.handlers.check(self.authorizer.is_some())?;
        let waker = self.waker.unwrap_or_else(|| Waker::new(None));
        let engine = Engine {
            store: Arc::new(PgJobStore::new(self.worker.clone())),
            ledger: Arc::new(PgJobLedger::new(self.db.clone())),
            wake: waker.subscribe(&self.queue),
            worker_db: self.worker,
            db: self.db,
            audit: self.audit,
            authorizer: self.authorizer,
            handlers: self.handlers,
            queue: self.queue,
            options: self.options,
            counters: Counters::default(),
        };
        Ok(Worker {
            engine: Arc::new(engine),
        })
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
