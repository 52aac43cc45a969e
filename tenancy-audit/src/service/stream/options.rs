use std::time::Duration;

use tenancy_core::TenantId;

use crate::AuditQuery;

/// Where a stream that is made begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StreamStart {
    /// With the oldest entry that is kept.
    Beginning,
    /// With what is not final yet: the next entry, and those of running transactions.
    Now,
}

/// How a stream works.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Whose entries; everybody's by default. Belongs to the stream: another process has to say the same.
    pub tenant: Option<TenantId>,
    /// Which entries; all by default. Its order, page size and cursor don't count.
    pub query: AuditQuery,
    /// Entries that are read at once, 1 to 1,000; 200 by default. How many of them are delivered at once
    /// is up to the target.
    pub batch: i32,
    /// How long it rests when there is nothing; a second by default.
    pub interval: Duration,
    /// How long a process that says nothing more holds the stream; two minutes by default, two seconds at
    /// least. A delivery may take half of it.
    pub lease: Duration,
    /// How long it waits after the first failure; a second by default. After each further one twice as
    /// long, five minutes at most.
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

    /// Sets how many entries are read at once.
    pub fn with_batch(mut self, entries: u16) -> Self {
        self.batch = i32::from(entries.clamp(1, 1_000));
        self
    }

    /// Sets how long it rests when there is nothing, 10 ms at least.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(10));
        self
    }

    /// Sets how long a process that says nothing more holds the stream: two seconds to an hour.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease.clamp(Duration::from_secs(2), Duration::from_hours(1));
        self
    }

    /// Sets how long it waits after the first failure: a millisecond to a minute.
    pub fn with_first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait.clamp(Duration::from_millis(1), Duration::from_mins(1));
        self
    }
}
