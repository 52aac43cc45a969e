use std::time::Duration;

use chrono::{DateTime, Utc};
use tenancy_core::{TenantId, WorkerDb};

use super::unknown;
use crate::{Error, postgres::PgStreams};

/// What a round came to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StreamRound {
    /// Another process holds the stream.
    Busy,
    /// So many entries were delivered; there may be more.
    Delivered(u64),
    /// The target failed, and is tried again after a while.
    Failed {
        /// Why, at the last try.
        code: String,
        /// When it is tried again.
        wait: Duration,
    },
    /// There is nothing to deliver.
    Idle,
    /// The target refused for good: nothing is tried until somebody resumes the stream.
    Parked {
        /// Why.
        code: String,
    },
}

/// How far a stream has come, and what keeps it; for an alarm.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StreamState {
    /// Its name.
    pub name: String,
    /// Whose entries; everybody's, if `None`.
    pub tenant: Option<TenantId>,
    /// How many entries were delivered, those that were given again counted once.
    pub delivered: u64,
    /// When the last one was.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub failures: u32,
    /// The last one's code.
    pub code: Option<String>,
    /// Since when it is parked.
    pub parked_at: Option<DateTime<Utc>>,
    /// Whether a process holds it.
    pub running: bool,
    /// Whether the log came into another cluster, so that it can't go on.
    pub restored: bool,
    /// When the next entry was stored that it has to look at: its lag. `None` if it is up to date.
    pub waiting_since: Option<DateTime<Utc>>,
}

/// All streams, for whoever runs them.
///
/// ```no_run
/// # async fn run(worker: tenancy_core::WorkerDb) -> Result<(), tenancy_audit::Error> {
/// let streams = tenancy_audit::Streams::new(worker);
/// for stream in streams.list().await? {
///     if stream.parked_at.is_some() {
///         streams.resume(&stream.name).await?; // once the receiver was mended
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Streams(PgStreams);

impl Streams {
    /// The streams of this database.
    pub fn new(worker: WorkerDb) -> Self {
        Self(PgStreams::new(worker))
    }

    /// The state of each stream, by name.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn list(&self) -> Result<Vec<StreamState>, Error> {
        self.0.list().await
    }

    /// Tries a parked stream again, from where it stopped.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) `audit_stream_unknown`.
    pub async fn resume(&self, name: &str) -> Result<(), Error> {
        let found = self.0.resume(name).await?;
        found.then_some(()).ok_or_else(|| unknown(name))
    }

    /// Forgets a stream and its place.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) `audit_stream_unknown`.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let found = self.0.remove(name).await?;
        found.then_some(()).ok_or_else(|| unknown(name))
    }
}
