//! How an authorizer behaves.

use std::time::Duration;

/// How a [`PgAuthorizer`](crate::PgAuthorizer) caches.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthzOptions {
    /// How old an answer from memory may be; 1 s by default, an hour at most. With zero every
    /// check asks the database. A change made through the same authorizer counts at once.
    pub(crate) bound: Duration,
    /// How many users' rights are kept in memory, over all tenants; 100,000 by default.
    pub(crate) max_snapshots: usize,
}

impl Default for AuthzOptions {
    fn default() -> Self {
        Self {
            bound: Duration::from_secs(1),
            max_snapshots: 100_000,
        }
    }
}

impl AuthzOptions {
    /// Sets how old an answer from memory may be.
    pub fn with_bound(mut self, bound: Duration) -> Self {
        self.bound = bound.min(Duration::from_hours(1));
        self
    }

    /// Sets how many users' rights are kept in memory; at least one for each of 16 shards.
    pub fn with_max_snapshots(mut self, snapshots: usize) -> Self {
        self.max_snapshots = snapshots;
        self
    }
}
