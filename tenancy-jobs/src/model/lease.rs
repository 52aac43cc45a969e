//! What a worker takes, holds and gives back.

use std::time::Duration;

use serde_json::Value;
use tenancy_core::{JobId, JobKind, Principal, RequestId, TenantId};

use super::{Fence, QueueName, WorkerId};

/// One try of one job: with the worker, all that a completion is fenced by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct JobRef {
    /// Whose job.
    pub tenant: TenantId,
    /// Which job.
    pub id: JobId,
    /// Which try, counted from 1.
    pub attempt: i32,
}

impl JobRef {
    /// Names a try.
    pub const fn new(tenant: TenantId, id: JobId, attempt: i32) -> Self {
        Self {
            tenant,
            id,
            attempt,
        }
    }
}

/// A job that was given to a worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimedJob {
    /// Which try of which job.
    pub job: JobRef,
    /// After how many tries it ends as failed.
    pub max_attempts: i32,
    /// Finds the handler.
    pub kind: JobKind,
    /// What was enqueued.
    pub payload: Value,
    /// Who enqueued it; `None` if a newer version wrote it in a way that this one can't read.
    pub principal: Option<Principal>,
    /// The request that enqueued it.
    pub request: Option<RequestId>,
    /// How long the try may take.
    pub timeout: Duration,
    /// Lower runs first.
    pub priority: i16,
}

impl ClaimedJob {
    /// Whether another try is left after this one.
    pub fn has_tries_left(&self) -> bool {
        self.job.attempt < self.max_attempts
    }
}

/// What a worker asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// From which queue.
    pub queue: QueueName,
    /// The kinds that the worker has handlers for.
    pub kinds: Vec<JobKind>,
    /// The tenant that was served last: the ring of tenants is entered behind it.
    pub after: Option<TenantId>,
    /// How many at most; 0 claims nothing.
    pub limit: usize,
}

impl ClaimRequest {
    /// Asks for jobs of these kinds, from the start of the ring.
    pub fn new(queue: QueueName, kinds: Vec<JobKind>, limit: usize) -> Self {
        Self {
            queue,
            kinds,
            after: None,
            limit,
        }
    }

    /// Enters the ring of tenants behind this one.
    pub fn with_after(mut self, after: Option<TenantId>) -> Self {
        self.after = after;
        self
    }

    /// Changes how many are asked for.
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Where the next claim should enter the ring after this answer.
    pub(crate) fn next_after(&self, claimed: &[ClaimedJob]) -> Option<TenantId> {
        if claimed.len() < self.limit {
            return None;
        }
        let tenants = || claimed.iter().map(|job| job.job.tenant);
        let wrapped = self
            .after
            .and_then(|after| tenants().filter(|t| *t <= after).max());
        wrapped.or_else(|| tenants().max())
    }
}

/// The answer to settling what is done and claiming what is next.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Exchange {
    /// Of what was to be settled, what somebody else has meanwhile: discarded.
    pub stale: Vec<JobId>,
    /// The jobs given to the worker, in no order.
    pub claimed: Vec<ClaimedJob>,
}

impl Exchange {
    /// An answer.
    pub fn new(stale: Vec<JobId>, claimed: Vec<ClaimedJob>) -> Self {
        Self { stale, claimed }
    }
}

/// A worker as it puts itself on the list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// This start of the worker.
    pub id: WorkerId,
    /// What it serves.
    pub queue: QueueName,
    /// For people, such as a host name and process id.
    pub name: String,
    /// After how long without a heartbeat its jobs are given to others.
    pub dead_after: Duration,
}

impl WorkerInfo {
    /// A fresh worker.
    pub fn new(queue: QueueName, name: impl Into<String>, dead_after: Duration) -> Self {
        Self {
            id: WorkerId::new(),
            queue,
            name: name.into(),
            dead_after,
        }
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Beat {
    /// Lost: the worker was taken for dead and has nothing any more.
    pub fence: Fence,
    /// What the worker holds.
    pub owned: Vec<JobRef>,
}

impl Beat {
    /// An answer.
    pub fn new(fence: Fence, owned: Vec<JobRef>) -> Self {
        Self { fence, owned }
    }
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Swept {
    /// Workers that had stopped answering.
    pub workers: u64,
    /// Jobs that were given back for others.
    pub jobs: u64,
}

impl Swept {
    /// An answer.
    pub fn new(workers: u64, jobs: u64) -> Self {
        Self { workers, jobs }
    }
}

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Purged {
    /// Idempotency keys whose time was up.
    pub keys: u64,
    /// Dead jobs that went to the history.
    pub dead: u64,
}

impl Purged {
    /// An answer.
    pub fn new(keys: u64, dead: u64) -> Self {
        Self { keys, dead }
    }
}

/// What the host decides about a tenant's share of the workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TenantPolicy {
    /// Its share beside others that have work: 1 by default, 1,000 at most.
    pub weight: u16,
    /// How many of its jobs may run at once, over all queues and workers; `None`: any number.
    pub max_in_flight: Option<u32>,
    /// Whether none of its jobs is started.
    pub paused: bool,
}

impl Default for TenantPolicy {
    fn default() -> Self {
        Self {
            weight: 1,
            max_in_flight: None,
            paused: false,
        }
    }
}

impl TenantPolicy {
    /// Sets the weight, from 1 to 1,000.
    pub fn with_weight(mut self, weight: u16) -> Self {
        self.weight = weight.clamp(1, 1000);
        self
    }

    /// Bounds how many of the tenant's jobs run at once; at least 1.
    pub fn with_max_in_flight(mut self, jobs: u32) -> Self {
        self.max_in_flight = Some(jobs.clamp(1, i32::MAX.unsigned_abs()));
        self
    }

    /// Stops or starts the tenant's jobs.
    pub fn with_paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(tenant: u128) -> ClaimedJob {
        ClaimedJob {
            job: JobRef::new(
                TenantId::from_uuid(uuid::Uuid::from_u128(tenant)),
                JobId::new(),
                1,
            ),
            max_attempts: 1,
            kind: JobKind::from_static("k"),
            payload: Value::Null,
            principal: None,
            request: None,
            timeout: Duration::from_secs(1),
            priority: 0,
        }
    }

    #[test]
    fn the_ring_goes_on_behind_the_tenant_served_last() {
        let tenant = |n| Some(TenantId::from_uuid(uuid::Uuid::from_u128(n)));
        let ask = ClaimRequest::new(QueueName::DEFAULT, Vec::new(), 2);
        assert_eq!(ask.next_after(&[claimed(5), claimed(7)]), tenant(7));
        // Behind 6 came 7, then the ring began again with 2.
        let ask = ask.with_after(tenant(6));
        assert_eq!(ask.next_after(&[claimed(7), claimed(2)]), tenant(2));
        // An answer that is not full has been all around.
        assert_eq!(ask.next_after(&[claimed(7)]), None);
    }
}
