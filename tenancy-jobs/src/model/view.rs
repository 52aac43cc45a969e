//! Jobs as people and programs look at them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tenancy_core::{JobId, JobKind, RequestId};

use super::{Fault, QueueName};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobState {
    /// It can be started.
    Ready,
    /// It waits for its time, or for its next try.
    Scheduled,
    /// A worker has it.
    Running,
    /// It is done.
    Succeeded,
    /// It failed for good; it can be retried.
    Failed,
    /// It may not run: who enqueued it has left or lost the right. It can be retried.
    Parked,
    /// Somebody ended it.
    Cancelled,
}

impl JobState {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Ready,
            Self::Scheduled,
            Self::Running,
            Self::Succeeded,
            Self::Failed,
            Self::Parked,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }

    /// Whether the job will not change any more by itself.
    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Ready | Self::Scheduled | Self::Running)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, if that is known.
    pub total: Option<u64>,
}

impl Progress {
    /// `done` of `total` units.
    pub const fn new(done: u64, total: Option<u64>) -> Self {
        Self { done, total }
    }
}

/// A job of the tenant, living or ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobView {
    /// The identifier.
    pub id: JobId,
    /// Where it was enqueued.
    pub queue: QueueName,
    /// What it is.
    pub kind: JobKind,
    /// Where it is in its life.
    pub state: JobState,
    /// Lower runs first.
    pub priority: i16,
    /// How often it was started.
    pub attempt: u16,
    /// After how many tries it ends as failed.
    pub max_attempts: u16,
    /// When it was enqueued, by the database's clock.
    pub enqueued_at: DateTime<Utc>,
    /// Not before; while it has not ended.
    pub run_at: Option<DateTime<Utc>>,
    /// When its last try was started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The request that enqueued it.
    pub request: Option<RequestId>,
    /// What was enqueued; not kept once it succeeded or was cancelled.
    pub payload: Option<Value>,
    /// What the handler answered.
    pub result: Option<Value>,
    /// Why its last try failed.
    pub fault: Option<Fault>,
    /// How far it is.
    pub progress: Option<Progress>,
}

/// Which jobs to list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobQuery {
    /// In one of these states; in any, if empty.
    pub states: Vec<JobState>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// In this queue.
    pub queue: Option<QueueName>,
    /// Enqueued before this one: the last of the page before.
    pub before: Option<JobId>,
    /// How many, 500 at most; 50 by default.
    pub limit: u32,
}

impl Default for JobQuery {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            kind: None,
            queue: None,
            before: None,
            limit: 50,
        }
    }
}

impl JobQuery {
    /// Only jobs in these states.
    pub fn with_states(mut self, states: impl Into<Vec<JobState>>) -> Self {
        self.states = states.into();
        self
    }

    /// Only jobs of this kind.
    pub fn with_kind(mut self, kind: JobKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only jobs of this queue.
    pub fn with_queue(mut self, queue: QueueName) -> Self {
        self.queue = Some(queue);
        self
    }

    /// The page behind this job.
    pub fn with_before(mut self, before: JobId) -> Self {
        self.before = Some(before);
        self
    }

    /// Jobs of one page, from 1 to 500.
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit.clamp(1, 500);
        self
    }
}

/// A page of jobs, the newest first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// Ask for the next page with [`JobQuery::with_before`] this one; `None` on the last page.
    pub next: Option<JobId>,
}

impl JobPage {
    pub(crate) fn new(jobs: Vec<JobView>, limit: u32) -> Self {
        let full = u32::try_from(jobs.len()).is_ok_and(|len| len >= limit);
        let next = jobs.last().filter(|_| full).map(|job| job.id);
        Self { jobs, next }
    }
}
