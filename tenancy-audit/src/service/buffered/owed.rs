//! Entries that were taken in: each of them is counted as written or as lost in the end.

use std::sync::{Arc, atomic::Ordering};

use super::options::Counters;
use crate::{Error, ErrorKind};

/// So many entries that were taken in, and of which it is not known yet what becomes of them. When it is dropped
/// they are lost: the runtime has ended, or the writer panicked.
#[derive(Debug)]
pub(super) struct Owed {
    counters: Arc<Counters>,
    count: usize,
}

impl Owed {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { counters, count: 0 }
    }

    pub(super) fn add(&mut self, count: usize) {
        self.count += count;
    }

    /// Takes over so many of them.
    pub(super) fn split(&mut self, count: usize) -> Self {
        self.count = self.count.saturating_sub(count);
        Self {
            counters: self.counters.clone(),
            count,
        }
    }

    pub(super) fn written(&mut self, count: usize) {
        self.count = self.count.saturating_sub(count);
        let written = &self.counters.written;
        written.fetch_add(count as u64, Ordering::Relaxed);
        metrics::counter!("tenancy_audit_written_total").increment(count as u64);
    }

    pub(super) fn lost(&mut self, count: usize, error: &Error) {
        self.count = self.count.saturating_sub(count);
        let lost = &self.counters.lost;
        lost.fetch_add(count as u64, Ordering::Relaxed);
        metrics::counter!("tenancy_audit_lost_total").increment(count as u64);
        tracing::error!(%error, code = error.code(), count, "audit entries are lost");
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if self.count > 0 {
            let message = "the write was dropped before it was done";
            let error = Error::new(ErrorKind::Internal, "audit_write_dropped", message);
            self.lost(self.count, &error);
        }
    }
}
