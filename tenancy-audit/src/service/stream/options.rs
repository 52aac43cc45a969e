use std::time::Duration;

use tenancy_core::TenantId;

use crate::AuditQuery;

const LEAST_INTERVAL: Duration = Duration::from_millis(10);
const SHORTEST_LEASE: Duration = Duration::from_secs(2);
const LONGEST_LEASE: Duration = Duration::from_hours(1);
const LEAST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Where a stream that is made begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StreamStart {
    /// With the oldest entry that is kept.
    Beginning,
    /// With what is not final yet: the next entry, and those of running transactions.
    Now,
}

/// How a stream works. What is out of bounds counts as the bound, from [`open_with`](super::AuditStream::open_with) on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Whose entries; everybody's by default. Belongs to the stream: another process has to say the same.
    pub tenant: Option<TenantId>,
    /// Which entries; all by default. Its order, page size and cursor don't count.
    pub query: AuditQuery,
    /// Entries that are read at once, 1 to 1,000; 200 by default. How many of them are delivered at once
    /// is up to the target.
    pub batch: u16,
    /// How long it rests when there is nothing; a second by default, 10 ms at least.
    pub interval: Duration,
    /// How long a process that says nothing more holds the stream; two minutes by default, two seconds to an
    /// hour. A delivery may take half of it.
    pub lease: Duration,
    /// How long it waits after the first failure; a second by default, a millisecond to a minute. After each
    /// further one twice as long, five minutes at most.
    pub first_wait: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            tenant: None,
            query: AuditQuery::new(),
            batch: 200,
            interval: Duration::from_secs(1),
            lease: Duration::from_mins(2),
            first_wait: Duration::from_secs(1),
        }
    }
}

impl StreamOptions {
    /// Only entries of this tenant.
    pub fn with_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Only entries that this query finds.
    pub fn with_query(mut self, query: AuditQuery) -> Self {
        self.query = query;
        self
    }

    /// Sets how many entries are read at once, 1 to 1,000.
    pub fn with_batch(mut self, entries: u16) -> Self {
        self.batch = entries;
        self
    }

    /// Sets how long it rests when there is nothing, 10 ms at least.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how long a process that says nothing more holds the stream: two seconds to an hour.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long it waits after the first failure: a millisecond to a minute.
    pub fn with_first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait;
        self
    }

    /// Within what the database and a target can take, whatever a host asks for.
    pub(super) fn bounded(mut self) -> Self {
        self.batch = self.batch.clamp(1, 1_000);
        self.interval = self.interval.max(LEAST_INTERVAL);
        self.lease = self.lease.clamp(SHORTEST_LEASE, LONGEST_LEASE);
        self.first_wait = self.first_wait.clamp(LEAST_WAIT, LONGEST_WAIT);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(size: u16, time: Duration) -> StreamOptions {
        StreamOptions::default()
            .with_batch(size)
            .with_interval(time)
            .with_lease(time)
            .with_first_wait(time)
    }

    #[test]
    fn whatever_a_host_asks_for_neither_spins_nor_stands_still() {
        let least = all(0, Duration::ZERO).bounded();
        assert_eq!((least.batch, least.interval), (1, LEAST_INTERVAL));
        assert_eq!(
            (least.lease, least.first_wait),
            (SHORTEST_LEASE, LEAST_WAIT)
        );
        let most = all(u16::MAX, Duration::MAX).bounded();
        assert_eq!((most.batch, most.interval), (1_000, Duration::MAX));
        assert_eq!((most.lease, most.first_wait), (LONGEST_LEASE, LONGEST_WAIT));
        let given = StreamOptions::default();
        assert_eq!(given.clone().bounded(), given);
    }
}
