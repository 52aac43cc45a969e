//! How an authorizer behaves.

use std::time::Duration;

/// How a [`PgAuthorizer`](crate::PgAuthorizer) caches, and how it records denials.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthzOptions {
    /// How old an answer from memory may be, by the monotonic clock of the system; 1 s by default, an
    /// hour at most. With zero every check asks the database. A change made through the same
    /// authorizer counts at once.
    pub(crate) bound: Duration,
    /// How many users' rights are kept in memory, over all tenants; 100,000 by default.
    pub(crate) max_snapshots: usize,
    /// How many bytes they may take together; 64 MiB by default.
    pub(crate) max_bytes: usize,
    /// For how long equal denials are counted instead of recorded one by one; off by default.
    pub(crate) fold_denials: Duration,
    /// Whether other processes are told of changes; on by default.
    pub(crate) announces: bool,
}

impl Default for AuthzOptions {
    fn default() -> Self {
        Self {
            bound: Duration::from_secs(1),
            max_snapshots: 100_000,
            max_bytes: 64 << 20,
            fold_denials: Duration::ZERO,
            announces: true,
        }
    }
}

impl AuthzOptions {
    /// Sets how old an answer from memory may be: a second by default, 0 to ask always.
    ///
    /// It holds across a restore and a failover that lost commits too: an epoch never comes twice. What a restore
    /// takes back with the rights themselves, the registration of a permission, is another matter: processes
    /// that knew that permission are restarted.
    ///
    /// Freshness is judged by the kernel's last tick as long as that is seen to be no more than 100 ms behind; a
    /// bound of 100 ms or less does without.
    pub fn with_bound(mut self, bound: Duration) -> Self {
        self.bound = bound.min(Duration::from_hours(1));
        self
    }

    /// Sets how many users' rights are kept in memory; at least one for each of 16 shards.
    pub fn with_max_snapshots(mut self, snapshots: usize) -> Self {
        self.max_snapshots = snapshots;
        self
    }

    /// Sets about how many bytes the rights in memory may take, whatever their number; a sixteenth
    /// for each of 16 shards. What has no room there is answered by the database each time.
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Records a denial at once and equal ones of the next while, a minute at most, as one entry
    /// with their `count` when it is over: against a client that fills the log. Equal are those of
    /// the same principal in the same tenant for the same permissions and reason. What is counted
    /// and not yet recorded is lost with the process; before it ends,
    /// [`PgAuthorizer::flush_denials`](crate::PgAuthorizer::flush_denials) records it.
    pub fn with_folded_denials(mut self, window: Duration) -> Self {
        self.fold_denials = window.min(Duration::from_mins(1));
        self
    }

    /// Tells no other process of changes: the bound alone says how soon they count there.
    pub fn without_announcements(mut self) -> Self {
        self.announces = false;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_memory_is_a_second_old_at_most_unless_another_bound_is_set() {
        let options = AuthzOptions::default();
        assert_eq!(options.bound, Duration::from_secs(1));
        let none = options.clone().with_bound(Duration::ZERO);
        assert_eq!(none.bound, Duration::ZERO);
        let most = options.with_bound(Duration::from_hours(2));
        assert_eq!(most.bound, Duration::from_hours(1), "an hour at most");
    }

    #[test]
    fn each_denial_is_an_entry_and_changes_are_announced_unless_it_is_said_otherwise() {
        let options = AuthzOptions::default();
        assert!(options.fold_denials.is_zero() && options.announces);
        let folding = options.with_folded_denials(Duration::from_hours(1));
        assert_eq!(folding.fold_denials, Duration::from_mins(1));
        assert!(!folding.without_announcements().announces);
    }
}
