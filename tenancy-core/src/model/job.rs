//! Work to be done later, as the ports see it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind, JobId, JobKind, JobProgress};

/// A job to be enqueued for the tenant of the transaction that enqueues it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewJob {
    /// Finds the handler.
    pub kind: JobKind,
    /// What the handler is given.
    pub payload: Value,
    /// Two jobs of one tenant and kind with the same key are one job: the second call returns the
    /// first one's id, until that job ended and its key was forgotten.
    pub idempotency_key: Option<String>,
    /// Not before this time; now, if `None`.
    pub run_at: Option<DateTime<Utc>>,
    /// How often it is tried in all; the queue's default, if `None`.
    pub max_attempts: Option<u16>,
    /// How long one try may take; the queue's default, if `None`.
    pub timeout: Option<Duration>,
    /// Lower runs first; 0 by default.
    pub priority: i16,
}

impl NewJob {
    /// A job with the queue's defaults.
    pub fn new(kind: JobKind, payload: Value) -> Self {
        Self {
            kind,
            payload,
            idempotency_key: None,
            run_at: None,
            max_attempts: None,
            timeout: None,
            priority: 0,
        }
    }

    /// Makes a repeated enqueue return the job that exists.
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Delays it.
    pub fn with_run_at(mut self, at: DateTime<Utc>) -> Self {
        self.run_at = Some(at);
        self
    }

    /// Bounds how often it is tried.
    pub fn with_max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Bounds how long one try may take.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Puts it before (lower) or after (higher) others.
    pub fn with_priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }
}

/// Largest payload in bytes of JSON, where nothing else is configured.
const MAX_PAYLOAD: usize = 262_144;
/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 512;
/// Longest time that a try may be given.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// Most tries that a job may be given.
const MAX_ATTEMPTS: u16 = 1_000;

/// The payload as text, if the job keeps the limits and Postgres can store it.
pub(crate) fn checked_job(job: &NewJob) -> Result<String, Error> {
    let payload = job.payload.to_string();
    if payload.len() > MAX_PAYLOAD {
        let message = format!(
            "the payload has {} bytes and {MAX_PAYLOAD} are allowed",
            payload.len()
        );
        return Err(Error::new(
            ErrorKind::Limit,
            "job_payload_too_large",
            message,
        ));
    }
    // The escape may be a literal backslash before `u0000`: only then is a closer look needed.
    if payload.contains("\\u0000") && has_nul(&job.payload) {
        let message = "the payload has a NUL character in it, which can't be stored";
        return Err(Error::invalid("job_payload_nul", message));
    }
    if let Some(key) = &job.idempotency_key
        && (!(1..=MAX_KEY).contains(&key.len()) || key.contains('\0'))
    {
        let message = format!("an idempotency key has 1 to {MAX_KEY} bytes without a NUL");
        return Err(Error::invalid("job_key_invalid", message));
    }
    let timeouts = Duration::from_millis(1)..=MAX_TIMEOUT;
    if job.timeout.is_some_and(|time| !timeouts.contains(&time)) {
        let message = "the time for one try is at least a millisecond and at most 24 hours";
        return Err(Error::invalid("job_timeout_invalid", message));
    }
    let attempts = job.max_attempts.unwrap_or(1);
    if !(1..=MAX_ATTEMPTS).contains(&attempts) {
        let message = format!("a job is tried 1 to {MAX_ATTEMPTS} times, not {attempts}");
        return Err(Error::invalid("job_attempts_invalid", message));
    }
    Ok(payload)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// One try of a job, as its handler sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobRun {
    /// The job; the same at every try, so it serves as an idempotency key outside.
    pub id: JobId,
    /// 1 at the first try.
    pub attempt: u16,
    /// What was enqueued.
    pub payload: Value,
    /// Told how far the work is.
    pub progress: Arc<dyn JobProgress>,
    /// Cancelled when the worker stops or the try's time is up: return soon.
    pub cancel: CancellationToken,
}

impl JobRun {
    /// Made by the queue, and by tests of a handler.
    pub fn new(id: JobId, attempt: u16, payload: Value, progress: Arc<dyn JobProgress>) -> Self {
        Self {
            id,
            attempt,
            payload,
            progress,
            cancel: CancellationToken::new(),
        }
    }

    /// The same run under the worker's cancellation.
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }
}
