//! Whose turn it is, where tenants share what a worker does in one go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::worker::WorkerDb;
use crate::{Error, TenantId};

/// Tenants that are looked at in one step, and steps until somebody has something ready.
const TENANTS: i32 = 256;
const STEPS: u32 = 16;

/// Before every tenant.
const FIRST: TenantId = TenantId::from_uuid(Uuid::nil());

/// The turns of tenants that have something waiting; clones know together whose was last.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    /// Answers the next tenants behind `$1` that have something waiting, `$2` of them in their order,
    /// and whether some of it is ready.
    waiting: &'static str,
    last: Arc<Mutex<TenantId>>,
}

/// How much one claim takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Of each tenant.
    pub(crate) each: i32,
    /// In all.
    pub(crate) all: i32,
}

impl Turns {
    pub(crate) fn new(waiting: &'static str) -> Self {
        Self {
            waiting,
            last: Arc::new(Mutex::new(FIRST)),
        }
    }

    /// A page of at most `limit`, in which the tenants whose turn it is have equal shares, and whether
    /// there may be more. `claim` takes what there is of these tenants.
    pub(crate) async fn page<T, F>(
        &self,
        worker: &WorkerDb,
        limit: u16,
        claim: impl Fn(Vec<TenantId>, Shares) -> F,
    ) -> Result<(Vec<T>, bool), Error>
    where
        F: Future<Output = Result<Vec<T>, Error>>,
    {
        let (tenants, is_whole_round) = self.next(worker, usize::from(limit)).await?;
        let Some(many) = u16::try_from(tenants.len()).ok().filter(|many| *many > 0) else {
            // Where more wait than one call looks at, the next one goes on behind them.
            return Ok((Vec::new(), false));
        };
        let shares = |each: u16, all: u16| Shares {
            each: i32::from(each),
            all: i32::from(all),
        };
        let share = shares((limit / many).max(1), limit);
        let mut rows = claim(tenants.clone(), share).await?;
        let left = limit.saturating_sub(u16::try_from(rows.len()).unwrap_or(limit));
        // What some leave, others may have.
        if left > 0 {
            rows.extend(claim(tenants, shares(left, left)).await?);
        }
        let is_full = rows.len() >= usize::from(limit);
        Ok((rows, is_full || !is_whole_round))
    }

    /// The next tenants with something ready, at most `most`, and whether all have been looked at.
    async fn next(&self, worker: &WorkerDb, most: usize) -> Result<(Vec<TenantId>, bool), Error> {
        let begin = *self.last();
        let (mut last, mut is_behind) = (begin, false);
        let mut ready = Vec::new();
        for _ in 0..STEPS {
            let step: Vec<(TenantId, bool)> = sqlx::query_as(self.waiting)
                .bind(last)
                .bind(TENANTS)
                .fetch_all(worker.pool())
                .await?;
            let is_end = i32::try_from(step.len()).is_ok_and(|found| found < TENANTS);
            for (tenant, is_ready) in step {
                // Round once, and no further.
                if is_behind && tenant > begin {
                    *self.last() = begin;
                    return Ok((ready, true));
                }
                last = tenant;
                if is_ready {
                    ready.push(tenant);
                }
                if ready.len() == most {
                    *self.last() = last;
                    return Ok((ready, false));
                }
            }
            if is_end {
                if is_behind || begin == FIRST {
                    *self.last() = FIRST;
                    return Ok((ready, true));
                }
                (last, is_behind) = (FIRST, true);
            }
        }
        *self.last() = last;
        Ok((ready, false))
    }

    fn last(&self) -> MutexGuard<'_, TenantId> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
