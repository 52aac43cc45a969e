//! How a try ended.

use std::time::Duration;

use serde_json::Value;

use super::{JobRef, Progress, storable};

/// Whether a worker still had what it wrote to.
#[must_use = "what a lost fence refused must not be taken for done"]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fence {
    /// It had, and the write is in the transaction.
    Held,
    /// Somebody else has it by now, or it ended: nothing was written.
    Lost,
}

impl Fence {
    /// `Held` if so.
    pub fn held_if(held: bool) -> Self {
        if held { Self::Held } else { Self::Lost }
    }

    /// Whether it is [`Fence::Held`].
    pub fn is_held(self) -> bool {
        self == Self::Held
    }
}

/// Why a try did not succeed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// The stable code, such as `timeout`.
    pub code: String,
    /// For people; at most 2,000 characters are kept.
    pub message: String,
}

impl Fault {
    /// A reason.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: storable::text(code.into()),
            message: storable::text(message.into()),
        }
    }
}

impl From<&tenancy_core::Error> for Fault {
    fn from(error: &tenancy_core::Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// What becomes of a job after a try.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It failed for good: kept among the dead.
    Failed(Fault),
    /// It may not run: kept among the dead until somebody looks.
    Parked(Fault),
    /// It is handed back, as if it had not been started.
    Release,
    /// It is tried again, and this try does not count: it got something done.
    Resume {
        /// What interrupted it.
        fault: Fault,
        /// After how long.
        delay: Duration,
    },
    /// It is tried again.
    Retry {
        /// What went wrong.
        fault: Fault,
        /// After how long.
        delay: Duration,
    },
    /// It is done; the value is kept as its result.
    Succeeded(Value),
}

impl Verdict {
    /// The text the database knows.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Parked(_) => "parked",
            Self::Release => "release",
            Self::Resume { .. } => "resume",
            Self::Retry { .. } => "retry",
            Self::Succeeded(_) => "succeeded",
        }
    }

    /// Why it did not succeed.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Failed(fault)
            | Self::Parked(fault)
            | Self::Resume { fault, .. }
            | Self::Retry { fault, .. } => Some(fault),
            Self::Release | Self::Succeeded(_) => None,
        }
    }

    /// After how long it is tried again.
    pub fn delay(&self) -> Option<Duration> {
        match self {
            Self::Resume { delay, .. } | Self::Retry { delay, .. } => Some(*delay),
            _ => None,
        }
    }

    /// Whether the job's life ends with it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Parked(_) | Self::Succeeded(_))
    }
}

/// The end of one try, to be stored if the fence holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settlement {
    /// Which try.
    pub job: JobRef,
    /// How it ended.
    pub verdict: Verdict,
    /// The last progress that was reported, if it is not stored yet.
    pub progress: Option<Progress>,
}

impl Settlement {
    /// The end of a try.
    pub fn new(job: JobRef, verdict: Verdict) -> Self {
        Self {
            job,
            verdict,
            progress: None,
        }
    }

    /// Adds the last progress.
    pub fn with_progress(mut self, progress: Option<Progress>) -> Self {
        self.progress = progress;
        self
    }
}
