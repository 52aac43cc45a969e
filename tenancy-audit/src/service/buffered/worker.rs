//! The task that empties the queue.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tenancy_core::TenantCtx;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    Message,
    options::{BufferOptions, Counters},
};
use crate::{AuditStore, Error, ErrorKind, Record};

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    store: Arc<dyn AuditStore>,
    receiver: mpsc::Receiver<Message>,
    options: BufferOptions,
    counters: Arc<Counters>,
}

/// What was taken from the queue in one go.
#[derive(Default)]
struct Batch {
    entries: Vec<(TenantCtx, Record)>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Worker {
    pub(super) fn new(
        store: Arc<dyn AuditStore>,
        receiver: mpsc::Receiver<Message>,
        options: BufferOptions,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            store,
            receiver,
            options,
            counters,
        }
    }

    /// Until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.receiver.recv().await {
            let mut batch = Batch::default();
            self.take(first, &mut batch);
            self.fill(&mut batch).await;
            for (ctx, records) in grouped(batch.entries) {
                self.write(&ctx, &records).await;
            }
            for waiting in batch.waiting {
                let _ = waiting.send(());
            }
        }
    }

    /// Waits for more, but not for long, and not at all when somebody waits for the batch.
    async fn fill(&mut self, batch: &mut Batch) {
        let deadline = Instant::now() + self.options.max_delay;
        while batch.entries.len() < self.options.max_batch {
            let next = if batch.waiting.is_empty() {
                timeout_at(deadline, self.receiver.recv())
                    .await
                    .ok()
                    .flatten()
            } else {
                self.receiver.try_recv().ok()
            };
            match next {
                Some(message) => self.take(message, batch),
                None => return,
            }
        }
    }

    fn take(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::Entry(entry) => batch.entries.push(*entry),
            Message::Flush(waiting) => batch.waiting.push(waiting),
            Message::Stop(waiting) => {
                self.receiver.close();
                batch.waiting.push(waiting);
            }
        }
    }

    /// Stores what one actor did: together, or one by one if something among it is refused.
    async fn write(&self, ctx: &TenantCtx, records: &[Record]) {
        match self.append(ctx, records).await {
            Ok(()) => self.written(records.len()),
            Err(error) if records.len() > 1 && !error.retry().is_retryable() => {
                for record in records {
                    match self.append(ctx, std::slice::from_ref(record)).await {
                        Ok(()) => self.written(1),
                        Err(error) => self.lost(1, &error),
                    }
                }
            }
            Err(error) => self.lost(records.len(), &error),
        }
    }

    async fn append(&self, ctx: &TenantCtx, records: &[Record]) -> Result<(), Error> {
        let (mut tried, mut wait) = (1, FIRST_WAIT);
        loop {
            match self.store.append(ctx, records).await {
                // An earlier try, whose answer was lost, did it: ids are never used twice.
                Err(error) if error.kind() == ErrorKind::Conflict && records.len() == 1 => {
                    return Ok(());
                }
                Err(error) if tried < self.options.attempts && may_help(&error) => {
                    tracing::warn!(%error, tried, "audit entries could not be written yet");
                    tokio::time::sleep(wait).await;
                    (tried, wait) = (tried + 1, LONGEST_WAIT.min(wait * 2));
                }
                done => return done,
            }
        }
    }

    fn written(&self, count: usize) {
        self.counters
            .written
            .fetch_add(count as u64, Ordering::Relaxed);
    }

    fn lost(&self, count: usize, error: &Error) {
        self.counters
            .lost
            .fetch_add(count as u64, Ordering::Relaxed);
        metrics::counter!("tenancy_audit_lost_total").increment(count as u64);
        tracing::error!(%error, code = error.code(), count, "audit entries are lost");
    }
}

/// Whether another try can help. A commit whose answer was lost is tried again: what it stored is
/// found by its id.
fn may_help(error: &Error) -> bool {
    error.retry().is_retryable() || error.kind() == ErrorKind::CommitOutcomeUnknown
}

/// By tenant and actor, since a transaction has one of each; in the order they came.
fn grouped(entries: Vec<(TenantCtx, Record)>) -> Vec<(TenantCtx, Vec<Record>)> {
    let mut groups: Vec<(TenantCtx, Vec<Record>)> = Vec::new();
    let mut known = HashMap::new();
    for (ctx, record) in entries {
        let key = (record.tenant, record.actor.clone());
        let at = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, records)) => records.push(record),
            None => groups.push((ctx, vec![record])),
        }
    }
    groups
}
