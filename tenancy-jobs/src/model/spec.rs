//! A job that was checked and is ready to be stored.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tenancy_core::{JobId, JobKind, NewJob};

use super::{QueueName, QueueOptions, key, storable};
use crate::Error;

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 512;
/// Longest time a single try may be given.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// Most tries a job may be given.
const MAX_ATTEMPTS: u16 = 1_000;

/// A job with every default filled in and every limit checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobSpec {
    /// The identifier it will have, unless its idempotency key is known.
    pub id: JobId,
    /// Where it goes.
    pub queue: QueueName,
    /// Finds the handler.
    pub kind: JobKind,
    /// The payload as JSON text: serialised once, measured, and sent as it is.
    pub payload: String,
    /// The hash of kind and idempotency key.
    pub key_hash: Option<[u8; 32]>,
    /// For how long the key is remembered after the job ended.
    pub keep_key: Duration,
    /// Not before this time; now, if `None`.
    pub run_at: Option<DateTime<Utc>>,
    /// How often it is tried in all.
    pub max_attempts: u16,
    /// How long one try may take.
    pub timeout: Duration,
    /// Lower runs first.
    pub priority: i16,
}

impl JobSpec {
    /// Checks a job against a queue's limits.
    ///
    /// # Errors
    /// [`Limit`](crate::ErrorKind::Limit) with `job_payload_too_large`;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) with `job_payload_nul`, `job_key_invalid`,
    /// `job_timeout_invalid` or `job_attempts_invalid`.
    pub fn prepare(job: NewJob, queue: &QueueName, options: &QueueOptions) -> Result<Self, Error> {
        let payload = checked_payload(&job, options)?;
        let key_hash = match &job.idempotency_key {
            Some(text) => Some(key::hash(&job.kind, checked_key(text)?)),
            None => None,
        };
        Ok(Self {
            id: JobId::new(),
            queue: queue.clone(),
            kind: job.kind,
            payload,
            key_hash,
            keep_key: options.keep_keys,
            run_at: job.run_at,
            max_attempts: checked_attempts(job.max_attempts.unwrap_or(options.max_attempts))?,
            timeout: checked_timeout(job.timeout.unwrap_or(options.timeout))?,
            priority: job.priority,
        })
    }
}

fn checked_payload(job: &NewJob, options: &QueueOptions) -> Result<String, Error> {
    let payload = job.payload.to_string();
    if payload.len() > options.max_payload_bytes {
        return Err(Error::limit(
            "job_payload_too_large",
            format!(
                "the payload has {} bytes and {} are allowed",
                payload.len(),
                options.max_payload_bytes
            ),
        ));
    }
    // The escape may be a literal backslash before `u0000`: only then is a closer look needed.
    if payload.contains("\\u0000") && storable::has_nul(&job.payload) {
        let message = "the payload has a NUL character in it, which can't be stored";
        return Err(Error::invalid("job_payload_nul", message));
    }
    Ok(payload)
}

fn checked_key(key: &str) -> Result<&str, Error> {
    if (1..=MAX_KEY).contains(&key.len()) {
        return Ok(key);
    }
    let message = format!(
        "an idempotency key has 1 to {MAX_KEY} bytes, this one has {}",
        key.len()
    );
    Err(Error::invalid("job_key_invalid", message))
}

fn checked_timeout(timeout: Duration) -> Result<Duration, Error> {
    if (Duration::from_millis(1)..=MAX_TIMEOUT).contains(&timeout) {
        return Ok(timeout);
    }
    let message = "the time for one try is at least a millisecond and at most 24 hours";
    Err(Error::invalid("job_timeout_invalid", message))
}

fn checked_attempts(attempts: u16) -> Result<u16, Error> {
    if (1..=MAX_ATTEMPTS).contains(&attempts) {
        return Ok(attempts);
    }
    let message = format!("a job is tried 1 to {MAX_ATTEMPTS} times, not {attempts}");
    Err(Error::invalid("job_attempts_invalid", message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(job: NewJob) -> &'static str {
        let refused = JobSpec::prepare(job, &QueueName::DEFAULT, &QueueOptions::default());
        refused.map_or_else(|error| error.code(), |_| "accepted")
    }

    fn job(payload: serde_json::Value) -> NewJob {
        NewJob::new(JobKind::from_static("a"), payload)
    }

    #[test]
    fn bad_input_is_refused_with_a_code_before_it_reaches_the_database() {
        assert_eq!(code(job(json!({"a": 1}))), "accepted");
        assert_eq!(
            code(job(json!("x".repeat(300_000)))),
            "job_payload_too_large"
        );
        assert_eq!(code(job(json!(["a\0b"]))), "job_payload_nul");
        assert_eq!(code(job(json!("\\u0000"))), "accepted");
        assert_eq!(
            code(job(json!(1)).with_idempotency_key("")),
            "job_key_invalid"
        );
        assert_eq!(
            code(job(json!(1)).with_idempotency_key("x".repeat(513))),
            "job_key_invalid"
        );
        assert_eq!(
            code(job(json!(1)).with_timeout(Duration::ZERO)),
            "job_timeout_invalid"
        );
        assert_eq!(
            code(job(json!(1)).with_max_attempts(0)),
            "job_attempts_invalid"
        );
        assert_eq!(
            code(job(json!(1)).with_max_attempts(1001)),
            "job_attempts_invalid"
        );
    }
}
