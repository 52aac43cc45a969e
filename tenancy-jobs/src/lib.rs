#![doc = include_str!("../README.md")]

mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind};
pub use model::{
    Backoff, Beat, Checkpoint, Chunk, ClaimRequest, ClaimedJob, Completion, Exchange, Fault, Fence,
    IntoJob, Job, JobPage, JobQuery, JobRef, JobSpec, JobState, JobView, Payload, Progress, Purged,
    QueueName, QueueOptions, Settlement, Swept, TenantPolicy, Verdict, WorkerId, WorkerInfo,
    WorkerOptions, payload,
};
pub use port::{BatchHandler, JobLedger, JobStore, TxHandler};
#[cfg(feature = "testing")]
pub use port::{MockBatchHandler, MockJobLedger, MockJobStore, MockTxHandler};
pub use postgres::{COMPONENT, JobHistory, PgJobLedger, PgJobStore};
pub use service::{JobQueue, Waker, Worker, WorkerBuilder, WorkerReport, perm};
