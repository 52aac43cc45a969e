//! What leaves an outbox.

use crate::{JobId, NewJob, Principal, RequestId, TenantId};

/// Work to be handed over to the host's queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutboxJob {
    /// Whose work it is.
    pub tenant: TenantId,
    /// Which work: the same each time it is handed over, so the queue behind can tell.
    pub job_id: JobId,
    /// What was enqueued. `run_at` is `None`: its time has come.
    pub job: NewJob,
    /// Who enqueued it: whoever does it enters the tenant anew as him, with
    /// [`TenantDb::enter_as`](crate::TenantDb::enter_as). `None` if a newer version wrote it in a way
    /// that this one can't read.
    pub principal: Option<Principal>,
    /// The request that enqueued it.
    pub request: Option<RequestId>,
    /// How often it was given out, this time included.
    pub attempt: i32,
}

/// What one page of an outbox came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Drained {
    /// Jobs that were handed over.
    pub delivered: u64,
    /// Jobs that were not, and are tried again later.
    pub failed: u64,
    /// Whether the page was full, so that there may be more.
    pub more: bool,
}
