//! Ingestion as a job.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use tenancy_core::{
    Error as CoreError, ErrorKind as CoreKind, JobHandler, JobKind, JobRun, TenantCtx,
};
use tokio::sync::watch;

use super::Ingestor;
use crate::{IngestionId, Progress};

/// Does the jobs that [`Ingestor::upload`] leaves behind: give it to the host's worker.
///
/// A try that fails in a way that may pass is left for the next one, which asks for no vector
/// twice. A try of a worker that was killed costs nothing but time: the next one goes on.
#[derive(Clone, Debug)]
pub struct IngestHandler {
    ingestor: Ingestor,
}

#[derive(Deserialize)]
struct Payload {
    ingestion: IngestionId,
}

impl IngestHandler {
    /// The kind of its jobs.
    pub const KIND: JobKind = JobKind::from_static("kb.ingest");

    /// Works with this ingestor.
    pub fn new(ingestor: Ingestor) -> Self {
        Self { ingestor }
    }
}

#[async_trait]
impl JobHandler for IngestHandler {
    fn kind(&self) -> JobKind {
        Self::KIND
    }

    async fn run(&self, ctx: &TenantCtx, run: &JobRun) -> Result<Value, CoreError> {
        let payload: Payload = serde_json::from_value(run.payload.clone())
            .map_err(|_| CoreError::invalid("job_payload_invalid", "the job names no ingestion"))?;
        let (told, mut heard) = watch::channel((0, 0));
        let tell = |progress: Progress| {
            let count = |n: i32| u64::try_from(n).unwrap_or_default();
            told.send_replace((count(progress.ready), count(progress.chunks)));
        };
        let mut work = std::pin::pin!(self.ingestor.run(ctx, payload.ingestion, &tell));
        let done = loop {
            tokio::select! {
                done = &mut work => break done?,
                () = run.cancel.cancelled() => {
                    let message = "the worker stops";
                    return Err(CoreError::new(CoreKind::Unavailable, "cancelled", message));
                }
                Ok(()) = heard.changed() => {
                    let (done, total) = *heard.borrow_and_update();
                    run.progress.report(done, total).await;
                }
            }
        };
        serde_json::to_value(done).map_err(|_| {
            CoreError::new(
                CoreKind::Internal,
                "result_invalid",
                "the result is no JSON",
            )
        })
    }
}
