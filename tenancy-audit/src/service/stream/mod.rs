//! Telling systems outside of the log, such as a SIEM.

mod options;
mod state;

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use futures_util::future::{self, Either, FutureExt as _};
use tenancy_core::{Grammar, Retry, WorkerDb};

pub use self::{
    options::{StreamOptions, StreamStart},
    state::{StreamRound, StreamState, Streams},
};
use crate::{
    AuditQuery, Entry, Error, ErrorKind, StreamTarget,
    postgres::{Hold, HoldState, PgStreams, Place},
};

const NAME: Grammar = Grammar::word("audit_stream_invalid", 63);
/// After how many failures in a row one more refusal is taken for good.
const MOST_REFUSED: u32 = 5;
/// The shortest wait between two tries, whatever a target asks for.
const LEAST_PAUSE: Duration = Duration::from_millis(10);
/// The longest wait between two tries that nobody asked for.
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// How long a parked stream, or one that another process holds, is left alone.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How many entries a stream of one tenant looks at in a round, whoever they belong to.
const MOST_LOOKED_AT: i32 = 10_000;
/// After how many transactions a stream of one tenant passes over what others have written.
const PASSED_AT_ONCE: i64 = 1_000;

/// Gives every entry to a target, at least once, in the order in which transactions became final.
///
/// The place is kept in the database under the stream's name: a process that dies is followed by the next
/// one at that place, which gives again what was on its way. Any number of processes may run a stream; one
/// works at a time. An entry waits until no transaction that began before it runs any more. A target that
/// fails is tried again with back-off, for as long as it takes; what it refuses for good, as its [`StreamTarget`]
/// says, parks the stream with the code until [`Streams::resume`].
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::{AuditStream, Error, StreamStart, StreamTarget};
/// # async fn run(worker: tenancy_core::WorkerDb, target: Arc<dyn StreamTarget>,
/// #     stop: tokio::sync::oneshot::Receiver<()>) -> Result<(), Error> {
/// let stream = AuditStream::open(worker, "siem", StreamStart::Now, target).await?;
/// stream.run(async { drop(stop.await) }).await;
/// # Ok(()) }
/// ```
pub struct AuditStream {
    store: PgStreams,
    name: String,
    target: Arc<dyn StreamTarget>,
    options: StreamOptions,
    /// The fence of the last hold; 0 before the first.
    fence: AtomicI64,
    /// Up to which transaction the entries of other tenants were passed over.
    passed: AtomicI64,
}

impl AuditStream {
    /// A stream of all tenants' entries; made in the database if there is none of this name.
    ///
    /// # Errors
    /// `audit_stream_invalid` for a name that is not one word of `[a-z][a-z0-9_]*`, up to 63;
    /// [`Conflict`](ErrorKind::Conflict) `audit_stream_other` if there is one of another tenant;
    /// [`Misconfigured`](ErrorKind::Misconfigured) `audit_log_restored` on a log that came into another cluster,
    /// until it is adopted there.
    pub async fn open(
        worker: WorkerDb,
        name: &str,
        start: StreamStart,
        target: Arc<dyn StreamTarget>,
    ) -> Result<Self, Error> {
        Self::open_with(worker, name, start, target, StreamOptions::default()).await
    }

    /// The same with options, each within the bounds that it states.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(
        worker: WorkerDb,
        name: &str,
        start: StreamStart,
        target: Arc<dyn StreamTarget>,
        options: StreamOptions,
    ) -> Result<Self, Error> {
        NAME.check(name)?;
        options.query.check()?;
        let options = options.bounded();
        let store = PgStreams::new(worker);
        store.open(name, options.tenant, start).await?;
        Ok(Self {
            store,
            name: name.to_owned(),
            target,
            options,
            fence: AtomicI64::new(0),
            passed: AtomicI64::new(0),
        })
    }

    /// Delivers what there is and what comes, until `stop` is done. What goes wrong is logged, counted in
    /// `tenancy_audit_stream_failures_total`, and told by [`Streams::list`]. What is on its way when it is
    /// told to stop is given up, and given again by the next.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop.fuse());
        loop {
            let round = pin!(self.round());
            let rest = match future::select(&mut stop, round).await {
                Either::Left(_) => break,
                Either::Right((Ok(StreamRound::Delivered(_)), _)) => continue,
                Either::Right((Ok(round), _)) => self.rest_after(&round),
                Either::Right((Err(error), _)) => {
                    self.failed(&error);
                    LOOK_AGAIN
                }
            };
            let rest = pin!(tokio::time::sleep(rest));
            if let Either::Left(_) = future::select(&mut stop, rest).await {
                break;
            }
        }
        let fence = self.fence.load(Ordering::Relaxed);
        if let Err(error) = self.store.release(&self.name, fence).await {
            tracing::warn!(%error, stream = self.name, "a stream could not be given back");
        }
    }

    fn rest_after(&self, round: &StreamRound) -> Duration {
        match round {
            StreamRound::Failed { wait, .. } => (*wait).min(LOOK_AGAIN),
            StreamRound::Busy | StreamRound::Parked { .. } => LOOK_AGAIN,
            _ => self.options.interval,
        }
    }

    /// Delivers the next batch, if there is one and it is time for it.
    ///
    /// # Errors
    /// Of the database; [`Misconfigured`](ErrorKind::Misconfigured) `audit_log_restored` in another
    /// cluster than the stream began in, or on a log that is to be adopted; [`NotFound`](ErrorKind::NotFound) `audit_stream_unknown` if it
    /// was removed. What the target answers is no error of this call.
    pub async fn round(&self) -> Result<StreamRound, Error> {
        let fence = self.fence.load(Ordering::Relaxed);
        match self.store.hold(&self.name, fence, self.seconds()).await? {
            HoldState::Held(hold) => {
                self.fence.store(hold.fence, Ordering::Relaxed);
                self.batch(&hold).await
            }
            HoldState::Waiting { code, wait } => Ok(StreamRound::Failed { code, wait }),
            HoldState::Parked { code } => Ok(StreamRound::Parked { code }),
            HoldState::Busy => Ok(StreamRound::Busy),
            HoldState::Restored => {
                let message = "the stream began before the log came into another cluster: remove it and begin anew";
                Err(Error::new(
                    ErrorKind::Misconfigured,
                    "audit_log_restored",
                    message,
                ))
            }
            HoldState::Unknown => Err(unknown(&self.name)),
        }
    }

    fn seconds(&self) -> i32 {
        i32::try_from(self.options.lease.as_secs()).unwrap_or(i32::MAX)
    }

    async fn batch(&self, hold: &Hold) -> Result<StreamRound, Error> {
        let fence = hold.fence;
        let looked = self.look(hold).await?;
        let below = Place::below(&hold.below);
        let to = looked.as_ref().unwrap_or(&below);
        let read = self.store.read(&self.name, fence, to, self.options.batch);
        let read = read.await?;
        let full = read.len() == usize::from(self.options.batch);
        let more = full || looked.is_some();
        let lag = read.first().map_or(0.0, |(first, _)| lag_of(first));
        metrics::gauge!("tenancy_audit_stream_lag_seconds", "stream" => self.name.clone()).set(lag);
        let behind = read.last().map(|(_, place)| place.clone());
        // All of the look that was not read is of others.
        let behind = looked.filter(|_| !full).or(behind);
        let (entries, places): (Vec<Entry>, Vec<Place>) = read
            .into_iter()
            .filter(|(entry, _)| wants(&self.options.query, entry))
            .unzip();
        let mut done = 0;
        while let Some(left) = entries.get(done..).filter(|left| !left.is_empty()) {
            let deliver = self.target.deliver(left);
            let taken = match tokio::time::timeout(self.options.lease / 2, deliver).await {
                Ok(Ok(taken)) => taken.clamp(1, left.len()),
                Ok(Err(error)) => return self.refused(hold, &error, done > 0).await,
                Err(_) => return self.refused(hold, &too_slow(), done > 0).await,
            };
            done += taken;
            let Some(place) = places.get(done - 1) else {
                break;
            };
            if !self.advance(fence, place, taken).await? {
                return Ok(StreamRound::Busy);
            }
        }
        // What nobody wanted is passed over.
        let to = behind.filter(|behind| places.get(done.wrapping_sub(1)) != Some(behind));
        if let Some(to) = to {
            self.advance(fence, &to, 0).await?;
        } else if done == 0 && self.options.tenant.is_some() {
            self.pass_others(fence, &hold.below).await?;
        }
        Ok(match done {
            0 if !more => StreamRound::Idle,
            _ => StreamRound::Delivered(done as u64),
        })
    }

    /// A stream of one tenant passes over what others have written, so much at a time.
    async fn look(&self, hold: &Hold) -> Result<Option<Place>, Error> {
        if self.options.tenant.is_none() {
            return Ok(None);
        }
        self.store
            .look(&self.name, hold.fence, &hold.below, MOST_LOOKED_AT)
            .await
    }

    /// The entries of other tenants need not be looked at again; now and then, since it is a write.
    async fn pass_others(&self, fence: i64, below: &str) -> Result<(), Error> {
        let at = below.parse().unwrap_or(0);
        if at - self.passed.load(Ordering::Relaxed) >= PASSED_AT_ONCE {
            self.passed.store(at, Ordering::Relaxed);
            self.advance(fence, &Place::below(below), 0).await?;
        }
        Ok(())
    }

    /// Whether the stream is held still. After the entries were delivered: a failure here gives them again.
    async fn advance(&self, fence: i64, place: &Place, taken: usize) -> Result<bool, Error> {
        let delivered = i64::try_from(taken).unwrap_or(i64::MAX);
        metrics::counter!("tenancy_audit_stream_delivered_total", "stream" => self.name.clone())
            .increment(delivered.unsigned_abs());
        self.store
            .advance(&self.name, fence, place, delivered, self.seconds())
            .await
    }

    async fn refused(
        &self,
        hold: &Hold,
        error: &Error,
        some_were_taken: bool,
    ) -> Result<StreamRound, Error> {
        let before = if some_were_taken { 0 } else { hold.failures };
        let park = error.retry() == Retry::Never
            || (error.kind() == ErrorKind::Conflict && before + 1 >= MOST_REFUSED);
        let wait = if let Retry::After(wait) = error.retry() {
            wait.max(LEAST_PAUSE)
        } else {
            let times = 1 << before.min(9);
            self.options.first_wait.saturating_mul(times).min(MAX_PAUSE)
        };
        self.failed(error);
        let noted = self
            .store
            .fail(&self.name, hold.fence, error.code(), wait, park)
            .await?;
        let code = error.code().to_owned();
        Ok(match (noted, park) {
            (false, _) => StreamRound::Busy,
            (true, true) => StreamRound::Parked { code },
            (true, false) => StreamRound::Failed { code, wait },
        })
    }

    fn failed(&self, error: &Error) {
        let labels = [
            ("stream", self.name.clone()),
            ("code", error.code().to_owned()),
        ];
        metrics::counter!("tenancy_audit_stream_failures_total", &labels).increment(1);
        tracing::warn!(%error, code = error.code(), stream = self.name, "a stream of the audit log was held up");
    }
}

fn wants(query: &AuditQuery, entry: &Entry) -> bool {
    query.is_in_time(entry) && query.finds(entry)
}

/// A number of seconds loses nothing that matters as a float.
fn lag_of(entry: &Entry) -> f64 {
    (Utc::now() - entry.created_at).as_seconds_f64().max(0.0)
}

fn too_slow() -> Error {
    let message = "the target of a stream did not answer in time";
    Error::new(ErrorKind::Unavailable, "audit_stream_slow", message)
}

fn unknown(name: &str) -> Error {
    let message = format!("there is no stream `{name}`");
    Error::new(ErrorKind::NotFound, "audit_stream_unknown", message)
}

impl fmt::Debug for AuditStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditStream")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
