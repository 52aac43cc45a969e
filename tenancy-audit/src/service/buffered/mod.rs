//! Recording without waiting for the database.

mod options;
mod owed;
mod worker;
mod write;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tenancy_core::{AuditSink, Event, Kept, TenantCtx, TenantTx};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};

use super::writer::AuditWriter;
use crate::{Draft, Error, ErrorKind};
use options::Counters;
pub use options::{BufferOptions, BufferStats, Overflow};
use worker::Worker;

/// What goes through the queue.
#[derive(Debug)]
enum Message {
    Entry(Box<(TenantCtx, Draft)>),
    /// Answered when everything in front of it has been stored or given up.
    Flush(oneshot::Sender<()>),
    /// Like `Flush`, and nothing is taken in behind it.
    Stop(oneshot::Sender<()>),
}

/// Records in the background, in batches: for what is frequent and may be lost in a crash.
///
/// [`record`](AuditSink::record) checks, redacts and hashes the event, puts it into a bounded queue
/// and returns; that is the one point in which it differs from what [`AuditSink`] promises.
/// [`record_in`](AuditSink::record_in) writes in the caller's transaction as ever.
///
/// Entries of one tenant and one actor are written together, several batches at a time
/// ([`BufferOptions::writers`]); their order in the log is that of their ids, in which they were recorded.
///
/// # What can be lost
/// | cause | what is lost | counted |
/// |---|---|---|
/// | the process dies | what is in the queue, at most four batches and those on their way, and at most 64 batches that wait for their keys | nowhere |
/// | the database is away longer than the attempts last | what was tried | [`lost`](BufferStats::lost) |
/// | the queue is full, with [`Overflow::Drop`] | what finds it full | [`dropped`](BufferStats::dropped) |
/// | an event's [key](Event::idempotency_key) was used for something else | the event, refused when it is written | `lost` |
/// | an open transaction uses the key longer than the attempts last | the event; nothing else waits for it | `lost` |
/// | the runtime ends under it | what is in the queue or on its way, though some of it may have been stored | `lost` |
///
/// In ordinary running a process that dies loses what was recorded in the last [`BufferOptions::max_delay`] and the
/// time of one write for each actor. Dashboards count `tenancy_audit_written_total`, `tenancy_audit_dropped_total` and
/// `tenancy_audit_lost_total`. Call [`shutdown`](Self::shutdown) at the end of the process.
///
/// An entry is of the time at which it was recorded, not of that at which it was stored.
///
/// ```no_run
/// # use tenancy_audit::{BufferOptions, BufferedAudit, Error, Overflow, PgAuditLog};
/// # async fn run(log: PgAuditLog) -> Result<(), Error> {
/// let options = BufferOptions::default().with_overflow(Overflow::Drop);
/// let audit = BufferedAudit::new(log.writer().clone(), options);
/// // ... Arc::new(audit.clone()) is an AuditSink ...
/// let stats = audit.shutdown().await?;
/// assert_eq!(stats.dropped + stats.lost, 0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BufferedAudit {
    writer: AuditWriter,
    sender: mpsc::Sender<Message>,
    /// Behind the sender, so that the worker finds the queue closed when the last of them wakes it.
    urgent: Urgent,
    /// How many messages are a reason to wake it.
    enough: usize,
    overflow: Overflow,
    counters: Arc<Counters>,
    worker: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Wakes the worker, which sleeps while there is less than a batch.
#[derive(Debug, Default)]
struct Bell {
    rings: Notify,
    /// Whether somebody waits for what is in the queue.
    is_asked: AtomicBool,
}

/// Rings when a handle is dropped, which may be the last.
#[derive(Clone)]
struct Urgent(Arc<Bell>);

impl Drop for Urgent {
    fn drop(&mut self) {
        self.0.rings.notify_one();
    }
}

impl BufferedAudit {
    /// Starts the background task, on the runtime this is called in.
    ///
    /// The task ends after [`shutdown`](Self::shutdown), or when the last clone is dropped; in both
    /// cases it stores what is in the queue first.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(writer: AuditWriter, options: BufferOptions) -> Self {
        let options = options.bounded();
        let (sender, receiver) = mpsc::channel(options.capacity);
        let counters = Arc::<Counters>::default();
        let overflow = options.overflow;
        let bell = Arc::<Bell>::default();
        let enough = options.enough();
        let worker = Worker::new(
            writer.store().clone(),
            receiver,
            bell.clone(),
            options,
            counters.clone(),
        );
        let task = tokio::spawn(worker.run());
        Self {
            writer,
            sender,
            urgent: Urgent(bell),
            enough,
            overflow,
            counters,
            worker: Arc::new(Mutex::new(Some(task))),
        }
    }

    /// Waits until everything recorded before this call is stored or given up.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) after a shutdown.
    pub async fn flush(&self) -> Result<BufferStats, Error> {
        self.until_done(Message::Flush).await?;
        Ok(self.stats())
    }

    /// Takes in nothing more, stores what is in the queue, and ends the background task.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) if it was shut down before.
    pub async fn shutdown(&self) -> Result<BufferStats, Error> {
        self.until_done(Message::Stop).await?;
        let task = self
            .worker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            let _ = task.await;
        }
        Ok(self.stats())
    }

    async fn until_done(&self, ask: fn(oneshot::Sender<()>) -> Message) -> Result<(), Error> {
        let (done, wait) = oneshot::channel();
        self.sender.send(ask(done)).await.map_err(|_| closed())?;
        self.urgent.0.is_asked.store(true, Ordering::Release);
        self.urgent.0.rings.notify_one();
        wait.await.map_err(|_| closed())
    }

    /// What became of the entries so far.
    pub fn stats(&self) -> BufferStats {
        self.counters.read()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl AuditSink for BufferedAudit {
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), tenancy_core::Error> {
        let draft = self.writer.prepare(ctx, event).await?;
        let entry = Message::Entry(Box::new((ctx.clone(), draft)));
        let counters = &self.counters;
        let room = match self.overflow {
            Overflow::Wait => self.sender.reserve().await.map_err(|_| closed())?,
            Overflow::Drop => match self.sender.try_reserve() {
                Ok(room) => room,
                Err(mpsc::error::TrySendError::Closed(())) => return Err(closed().into()),
                Err(mpsc::error::TrySendError::Full(())) => {
                    counters.dropped.fetch_add(1, Ordering::Relaxed);
                    metrics::counter!("tenancy_audit_dropped_total").increment(1);
                    return Ok(());
                }
            },
        };
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        room.send(entry);
        if self.sender.max_capacity() - self.sender.capacity() >= self.enough {
            self.urgent.0.rings.notify_one();
        }
        Ok(())
    }

    async fn record_in(
        &self,
        tx: &mut TenantTx,
        event: Event,
    ) -> Result<Kept, tenancy_core::Error> {
        self.writer.record_in(tx, event).await
    }
}

fn closed() -> Error {
    Error::new(
        ErrorKind::Closed,
        "audit_buffer_closed",
        "the audit buffer was shut down",
    )
}

impl fmt::Debug for BufferedAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedAudit")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
