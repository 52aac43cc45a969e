//! Limits and defaults, each of them written down.

use std::time::Duration;

use super::Backoff;

/// Limits and defaults of what is enqueued.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueOptions {
    /// Largest payload in bytes of JSON; 256 KiB by default.
    pub max_payload_bytes: usize,
    /// Most jobs of one call; 10,000 by default.
    pub max_batch: usize,
    /// How often a job is tried in all, unless it says; 10 by default.
    pub max_attempts: u16,
    /// How long one try may take, unless the job says; 5 minutes by default.
    pub timeout: Duration,
    /// For how long an idempotency key is remembered after its job ended; 7 days by default.
    pub keep_keys: Duration,
    /// Whether other processes are told of new jobs by NOTIFY; on by default. They find them by
    /// polling all the same.
    pub notify: bool,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            max_payload_bytes: 262_144,
            max_batch: 10_000,
            max_attempts: 10,
            timeout: Duration::from_mins(5),
            keep_keys: Duration::from_hours(7 * 24),
            notify: true,
        }
    }
}

impl QueueOptions {
    /// Sets the largest payload in bytes of JSON.
    pub fn with_max_payload_bytes(mut self, bytes: usize) -> Self {
        self.max_payload_bytes = bytes;
        self
    }

    /// Sets how often a job is tried that does not say.
    pub fn with_max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets how long a try may take of a job that does not say.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets for how long idempotency keys outlive their jobs.
    pub fn with_keep_keys(mut self, duration: Duration) -> Self {
        self.keep_keys = duration;
        self
    }

    /// Turns NOTIFY off, for a pooler that gives out connections by the transaction.
    pub fn with_notify(mut self, notify: bool) -> Self {
        self.notify = notify;
        self
    }
}

/// How the end of a plain handler's job is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Completion {
    /// Each in a transaction of its own, together with its audit entry: the entry exists exactly
    /// when the job ended.
    #[default]
    Each,
    /// Many in one statement, together with the next claim. Successes are audited before they are
    /// stored, so a crash in between leaves an entry of a job that runs again.
    Batched,
}

/// How a worker works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// How many jobs run at once; 8 by default.
    pub concurrency: usize,
    /// How many jobs are claimed beyond those that run; 0 by default. More is faster for short
    /// jobs, and hides urgent jobs behind those that were claimed before.
    pub prefetch: usize,
    /// How often the queue is looked at without a wake-up; 1 s by default.
    pub poll_interval: Duration,
    /// How often the worker says that it lives; 5 s by default.
    pub heartbeat: Duration,
    /// After how long without a heartbeat its jobs are given to others; 15 s by default.
    pub dead_after: Duration,
    /// How long running jobs are given when the worker is stopped; 25 s by default.
    pub drain: Duration,
    /// How the end of a plain handler's job is stored.
    pub completion: Completion,
    /// How long failed jobs wait.
    pub backoff: Backoff,
    /// Whether the worker listens for NOTIFY; on by default. Takes one connection of the
    /// [`WorkerDb`](tenancy_core::WorkerDb), and does not work through a transaction pooler.
    pub listen: bool,
    /// For how many days dead jobs are kept before they go to the history; 30 by default.
    pub keep_dead_days: u16,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            prefetch: 0,
            poll_interval: Duration::from_secs(1),
            heartbeat: Duration::from_secs(5),
            dead_after: Duration::from_secs(15),
            drain: Duration::from_secs(25),
            completion: Completion::default(),
            backoff: Backoff::default(),
            listen: true,
            keep_dead_days: 30,
        }
    }
}

impl WorkerOptions {
    /// Sets how many jobs run at once; at least 1.
    pub fn with_concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs.max(1);
        self
    }

    /// Sets how many jobs are claimed beyond those that run.
    pub fn with_prefetch(mut self, jobs: usize) -> Self {
        self.prefetch = jobs;
        self
    }

    /// Sets how often the queue is looked at without a wake-up.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Sets how often the worker says that it lives, and after how long it is taken for dead.
    /// The second should be three times the first.
    pub fn with_heartbeat(mut self, every: Duration, dead_after: Duration) -> Self {
        self.heartbeat = every;
        self.dead_after = dead_after;
        self
    }

    /// Sets how long running jobs are given when the worker is stopped.
    pub fn with_drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Sets how the end of a plain handler's job is stored.
    pub fn with_completion(mut self, completion: Completion) -> Self {
        self.completion = completion;
        self
    }

    /// Sets how long failed jobs wait.
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Turns listening for NOTIFY on or off.
    pub fn with_listen(mut self, listen: bool) -> Self {
        self.listen = listen;
        self
    }
}
