use async_trait::async_trait;
use tenancy_core::TenantId;

use crate::{
    Beat, ClaimRequest, Error, Exchange, Purged, Settlement, Swept, TenantPolicy, WorkerId,
    WorkerInfo,
};

/// Gives out jobs of all tenants to workers and takes them back.
///
/// # Contract
/// A job is with at most one worker that is on the list. A claim is fair: each tenant with work
/// gets its share by weight before any gets more, and what is left over goes to whoever has more;
/// within a tenant jobs go by priority, then by time. Jobs of suspended and paused tenants are not
/// given out; those of a tenant that is suspended meanwhile are left out of a beat's answer. Every settlement is fenced by (job, attempt, worker). Only the store's clock counts.
///
/// # Concurrency
/// Any number of workers and sweeps at once; none waits for another's jobs.
///
/// # Errors and retry
/// A call whose answer was lost may have happened: [`beat`](Self::beat) tells what a worker
/// holds, and settling again is harmless.
///
/// # Cancellation
/// A dropped call has happened or not.
///
/// # For implementors
/// `tenancy_jobs::testing::conformance` is the suite, together with
/// [`JobLedger`](crate::JobLedger).
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Puts a worker on the list.
    async fn register(&self, worker: &WorkerInfo) -> Result<(), Error>;

    /// Says that the worker lives, and asks what it holds.
    async fn beat(&self, worker: WorkerId) -> Result<Beat, Error>;

    /// Settles what is done and claims what is next, all or nothing.
    async fn exchange(
        &self,
        worker: WorkerId,
        done: &[Settlement],
        claim: &ClaimRequest,
    ) -> Result<Exchange, Error>;

    /// Hands back what the worker still holds and takes it off the list; how many jobs it were.
    async fn retire(&self, worker: WorkerId) -> Result<u64, Error>;

    /// Gives the jobs of dead workers back.
    async fn sweep(&self) -> Result<Swept, Error>;

    /// Forgets keys whose time is up, and moves dead jobs older than this to the history.
    async fn purge(&self, keep_dead_days: u16) -> Result<Purged, Error>;

    /// Sets a tenant's share; an unknown tenant is [`NotFound`](crate::ErrorKind::NotFound), where the
    /// store knows tenants.
    async fn set_policy(&self, tenant: TenantId, policy: &TenantPolicy) -> Result<(), Error>;

    /// A tenant's share, the default where none was set.
    async fn policy(&self, tenant: TenantId) -> Result<TenantPolicy, Error>;
}
