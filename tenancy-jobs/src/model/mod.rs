//! Plain values and pure logic, without input or output.

mod backoff;
mod batch;
mod key;
mod lease;
mod options;
mod settlement;
mod spec;
mod storable;
mod typed;
mod view;

pub use backoff::Backoff;
pub(crate) use backoff::jittered;
pub use batch::{Checkpoint, Chunk};
pub use key::{QueueName, WorkerId};
pub use lease::{
    Beat, ClaimRequest, ClaimedJob, Exchange, JobRef, Purged, Swept, TenantPolicy, WorkerInfo,
};
pub use options::{Completion, QueueOptions, WorkerOptions};
pub use settlement::{Fault, Fence, Settlement, Verdict};
pub use spec::JobSpec;
pub(crate) use storable::result as storable_result;
pub use typed::{IntoJob, Job, Payload, payload};
pub use view::{JobPage, JobQuery, JobState, JobView, Progress};
