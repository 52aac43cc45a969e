//! The use cases: they talk to ports and know no SQL.

mod queue;
mod wake;
mod worker;

pub use queue::JobQueue;
pub use wake::Waker;
pub use worker::{Worker, WorkerBuilder, WorkerReport};

tenancy_core::permissions! {
    /// The permissions that the queue's services ask for.
    pub mod perm {
        JobsRead = "jobs.read", "see jobs, their payloads and how far they are", [member, support];
        JobsManage = "jobs.manage", "cancel and retry jobs", [];
    }
}
