//! Jobs as types.

use serde::{Serialize, de::DeserializeOwned};
use tenancy_core::{Error as CoreError, ErrorKind as CoreKind, JobKind, JobRun, NewJob};

use crate::Error;

/// A job as a type: its fields are the payload.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tenancy_core::JobKind;
/// use tenancy_jobs::{IntoJob as _, Job};
///
/// #[derive(Deserialize, Serialize)]
/// struct RebuildIndex {
///     template: u64,
/// }
///
/// impl Job for RebuildIndex {
///     const KIND: JobKind = JobKind::from_static("index.rebuild");
/// }
///
/// let job = RebuildIndex { template: 7 }.into_job().unwrap();
/// assert_eq!(job.payload["template"], 7);
/// ```
pub trait Job: Serialize {
    /// Finds the handler.
    const KIND: JobKind;
}

/// What can be enqueued: every [`Job`], and a [`NewJob`] with its options.
pub trait IntoJob {
    /// The job as the queue stores it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) with `job_payload_unserializable`.
    fn into_job(self) -> Result<NewJob, Error>;
}

impl IntoJob for NewJob {
    fn into_job(self) -> Result<NewJob, Error> {
        Ok(self)
    }
}

impl<J: Job> IntoJob for J {
    fn into_job(self) -> Result<NewJob, Error> {
        let payload = serde_json::to_value(&self).map_err(|_| {
            let message = format!("a job of kind `{}` can't be written as JSON", J::KIND);
            Error::invalid("job_payload_unserializable", message)
        })?;
        Ok(NewJob::new(J::KIND, payload))
    }
}

/// The payload of a run as the type that was enqueued.
///
/// # Errors
/// [`InvalidInput`](CoreKind::InvalidInput) with `job_payload_unreadable`, which ends the job as
/// failed: another try reads the same payload.
pub fn payload<J: DeserializeOwned>(run: &JobRun) -> Result<J, CoreError> {
    J::deserialize(&run.payload).map_err(|_| {
        let message = "the payload is not what this version of the handler expects";
        CoreError::new(CoreKind::InvalidInput, "job_payload_unreadable", message)
    })
}

/// Reads a payload as a method of the run: `run.read::<RebuildIndex>()?`.
pub trait Payload {
    /// See [`payload`].
    ///
    /// # Errors
    /// As [`payload`].
    fn read<J: DeserializeOwned>(&self) -> Result<J, CoreError>;
}

impl Payload for JobRun {
    fn read<J: DeserializeOwned>(&self) -> Result<J, CoreError> {
        payload(self)
    }
}
