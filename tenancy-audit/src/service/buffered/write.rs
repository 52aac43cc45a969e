//! Writing a batch, and counting what becomes of it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tenancy_core::TenantCtx;

use super::options::Counters;
use crate::{AuditStore, Draft, Error, ErrorKind};

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Writing {
    store: Arc<dyn AuditStore>,
    attempts: u32,
    counters: Arc<Counters>,
}

impl Writing {
    pub(super) fn new(store: Arc<dyn AuditStore>, attempts: u32, counters: Arc<Counters>) -> Self {
        Self {
            store,
            attempts,
            counters,
        }
    }

    /// Stores what one actor did: together, or one by one if something among it is refused.
    pub(super) async fn write(&self, ctx: &TenantCtx, drafts: &[Draft]) {
        match self.append(ctx, drafts).await {
            Ok(()) => self.written(drafts.len()),
            Err(error) if drafts.len() > 1 && !error.retry().is_retryable() => {
                for draft in drafts {
                    match self.append(ctx, std::slice::from_ref(draft)).await {
                        Ok(()) => self.written(1),
                        Err(error) => self.lost(1, &error),
                    }
                }
            }
            Err(error) => self.lost(drafts.len(), &error),
        }
    }

    /// A batch whose writer panicked: whether it was stored is not known.
    pub(super) fn died(&self, count: usize) {
        let message = "the writer of a batch panicked";
        self.lost(
            count,
            &Error::new(ErrorKind::Internal, "audit_writer_died", message),
        );
    }

    async fn append(&self, ctx: &TenantCtx, drafts: &[Draft]) -> Result<(), Error> {
        let (mut tried, mut wait) = (1, FIRST_WAIT);
        loop {
            match self.store.append(ctx, drafts).await {
                Ok(_) => return Ok(()),
                // An earlier try, whose answer was lost, did it: ids are never used twice.
                Err(error) if is_there(&error) && drafts.len() == 1 => return Ok(()),
                Err(error) if tried < self.attempts && may_help(&error) => {
                    tracing::warn!(%error, tried, "audit entries could not be written yet");
                    tokio::time::sleep(wait).await;
                    (tried, wait) = (tried + 1, LONGEST_WAIT.min(wait * 2));
                }
                Err(error) => return Err(error),
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

/// Whether the entry itself is there, and not its key with another entry.
fn is_there(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.code() != "audit_key_reused"
}

/// Whether another try can help. A commit whose answer was lost is tried again: what it stored is
/// found by its id.
fn may_help(error: &Error) -> bool {
    error.retry().is_retryable() || error.kind() == ErrorKind::CommitOutcomeUnknown
}
