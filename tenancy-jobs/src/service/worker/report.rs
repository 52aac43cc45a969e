//! What a worker did.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Verdict;

/// What a worker did since it was built.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Jobs it was given.
    pub claimed: u64,
    /// Jobs it ended as done.
    pub succeeded: u64,
    /// Jobs it ended as failed.
    pub failed: u64,
    /// Jobs it parked.
    pub parked: u64,
    /// Tries that failed and will be repeated.
    pub retried: u64,
    /// Jobs it handed back before or while they ran.
    pub released: u64,
    /// Results that it discarded because somebody else had the job by then.
    pub stale: u64,
}

/// The counters behind a [`WorkerReport`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    claimed: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    parked: AtomicU64,
    retried: AtomicU64,
    released: AtomicU64,
    stale: AtomicU64,
}

impl Counters {
    pub(super) fn claimed(&self, jobs: usize) {
        let jobs = u64::try_from(jobs).unwrap_or(u64::MAX);
        self.claimed.fetch_add(jobs, Ordering::Relaxed);
        metrics::counter!("tenancy_jobs_claimed_total").increment(jobs);
    }

    pub(super) fn settled(&self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Failed(_) => &self.failed,
            Verdict::Parked(_) => &self.parked,
            Verdict::Release => &self.released,
            Verdict::Resume { .. } | Verdict::Retry { .. } => &self.retried,
            Verdict::Succeeded(_) => &self.succeeded,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("tenancy_jobs_settled_total", "outcome" => verdict.as_str()).increment(1);
    }

    pub(super) fn released(&self, jobs: u64) {
        self.released.fetch_add(jobs, Ordering::Relaxed);
    }

    pub(super) fn stale(&self, jobs: usize) {
        let jobs = u64::try_from(jobs).unwrap_or(u64::MAX);
        self.stale.fetch_add(jobs, Ordering::Relaxed);
        metrics::counter!("tenancy_jobs_stale_total").increment(jobs);
    }

    pub(super) fn report(&self) -> WorkerReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerReport {
            claimed: read(&self.claimed),
            succeeded: read(&self.succeeded),
            failed: read(&self.failed),
            parked: read(&self.parked),
            retried: read(&self.retried),
            released: read(&self.released),
            stale: read(&self.stale),
        }
    }
}
