//! Writing a batch, and counting what becomes of it.

use std::{sync::Arc, time::Duration};

use tenancy_core::TenantCtx;
use tokio::sync::Semaphore;

use super::owed::Owed;
use crate::{AuditStore, Draft, Error, ErrorKind, error::code};

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Writing {
    store: Arc<dyn AuditStore>,
    attempts: u32,
    /// What waits for its keys takes one connection, whatever the number of batches it comes from.
    late: Semaphore,
}

/// What one actor did, on its way.
pub(super) struct Batch {
    pub(super) ctx: TenantCtx,
    pub(super) drafts: Vec<Draft>,
    pub(super) owed: Owed,
}

impl Writing {
    pub(super) fn new(store: Arc<dyn AuditStore>, attempts: u32) -> Self {
        Self {
            store,
            attempts,
            late: Semaphore::new(1),
        }
    }

    /// Stores the batch: together, or one by one if something among it is refused. Answers what has to wait,
    /// because transactions that have not ended hold its keys.
    pub(super) async fn write(&self, mut batch: Batch) -> Option<Batch> {
        let (mut left, mut waits) = (std::mem::take(&mut batch.drafts), Vec::new());
        while !left.is_empty() {
            match self.append(&batch.ctx, &left).await {
                Ok(()) => {
                    batch.owed.written(left.len());
                    break;
                }
                Err(error) if is_busy(&error) => {
                    let busy = |draft: &Draft| error.entries().contains(&draft.id);
                    let before = left.len();
                    waits.extend(left.extract_if(.., |draft| busy(draft)));
                    if left.len() == before {
                        waits.append(&mut left);
                    }
                }
                Err(error) if left.len() > 1 && !error.retry().is_retryable() => {
                    for draft in left.drain(..) {
                        self.write_one(&mut batch, draft, &mut waits).await;
                    }
                }
                Err(error) => {
                    batch.owed.lost(left.len(), &error);
                    break;
                }
            }
        }
        batch.drafts = waits;
        (!batch.drafts.is_empty()).then_some(batch)
    }

    async fn write_one(&self, batch: &mut Batch, draft: Draft, waits: &mut Vec<Draft>) {
        match self.append(&batch.ctx, std::slice::from_ref(&draft)).await {
            Ok(()) => batch.owed.written(1),
            Err(error) if is_busy(&error) => waits.push(draft),
            Err(error) => batch.owed.lost(1, &error),
        }
    }

    /// Stores what has to wait for its keys, as soon as it can be.
    pub(super) async fn write_late(&self, mut batch: Batch) {
        let mut wait = FIRST_WAIT;
        for _ in 1..self.attempts {
            tokio::time::sleep(wait).await;
            wait = LONGEST_WAIT.min(wait * 2);
            let Ok(_one) = self.late.acquire().await else {
                return;
            };
            match self.write(batch).await {
                Some(waits) => batch = waits,
                None => return,
            }
        }
        let message = "an open transaction held the idempotency key for too long";
        let error = Error::new(ErrorKind::Unavailable, code::KEY_BUSY, message);
        batch.owed.lost(batch.drafts.len(), &error);
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
}

/// Whether it is others' transactions that some of the entries wait for.
fn is_busy(error: &Error) -> bool {
    error.code() == code::KEY_BUSY
}

/// Whether the entry itself is there, and not its key with another entry.
fn is_there(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.code() != code::KEY_REUSED
}

/// Whether another try can help at once. A commit whose answer was lost is tried again: what it stored is
/// found by its id.
fn may_help(error: &Error) -> bool {
    let unknown = error.kind() == ErrorKind::CommitOutcomeUnknown;
    (error.retry().is_retryable() && !is_busy(error)) || unknown
}
