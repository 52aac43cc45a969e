use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The most entries that any queue holds.
const MOST_QUEUED: usize = 1_000_000;

const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// How a [`BufferedAudit`](super::BufferedAudit) works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BufferOptions {
    /// Entries the queue holds; 10,000, and never more than a million.
    pub capacity: usize,
    /// Entries written in one transaction at most; 1,000, and never more than 10,000.
    pub max_batch: usize,
    /// Batches that are written at the same time; 2, and never more than 16. Each takes one of the
    /// connections that the handle keeps for what is done aside.
    pub writers: usize,
    /// How long an entry waits for others to be written with; 50 ms, and never more than an hour.
    pub max_delay: Duration,
    /// How often a write is tried; 8 times, with waits from 50 ms up to 5 s: about 12 s in all.
    pub attempts: u32,
    /// What happens when the queue is full.
    pub overflow: Overflow,
}

/// What happens when the queue is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Overflow {
    /// The entry is dropped and counted: requests go on whatever happens.
    Drop,
    /// Recording waits for room: requests slow down rather than leave no trail. The default.
    #[default]
    Wait,
}

impl Default for BufferOptions {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_batch: 1_000,
            writers: 2,
            max_delay: Duration::from_millis(50),
            attempts: 8,
            overflow: Overflow::default(),
        }
    }
}

impl BufferOptions {
    /// Sets how many entries the queue holds.
    pub fn with_capacity(mut self, entries: usize) -> Self {
        self.capacity = entries;
        self
    }

    /// Sets how many entries are written in one transaction.
    pub fn with_max_batch(mut self, entries: usize) -> Self {
        self.max_batch = entries;
        self
    }

    /// Sets how many batches are written at the same time.
    pub fn with_writers(mut self, writers: usize) -> Self {
        self.writers = writers;
        self
    }

    /// Sets how long an entry waits for others.
    pub fn with_max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets how often a write is tried.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets what happens when the queue is full.
    pub fn with_overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Within what memory and the database can take, whatever a host asks for.
    pub(super) fn bounded(mut self) -> Self {
        self.capacity = self.capacity.clamp(1, MOST_QUEUED);
        self.max_delay = self.max_delay.min(LONGEST_DELAY);
        self.max_batch = self.max_batch.clamp(1, 10_000);
        self.writers = self.writers.clamp(1, 16);
        self
    }

    /// How many entries in the queue are a reason to write them: a batch with the one in hand, or half of what a
    /// small queue holds.
    pub(super) fn enough(&self) -> usize {
        (self.max_batch - 1).min(self.capacity / 2)
    }
}

/// What became of the entries of a [`BufferedAudit`](super::BufferedAudit).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct BufferStats {
    /// Taken into the queue.
    pub accepted: u64,
    /// Stored.
    pub written: u64,
    /// Not taken in, because the queue was full.
    pub dropped: u64,
    /// Taken in, but the database did not take them, or the runtime ended before it did.
    pub lost: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) lost: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> BufferStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BufferStats {
            accepted: of(&self.accepted),
            written: of(&self.written),
            dropped: of(&self.dropped),
            lost: of(&self.lost),
        }
    }
}
