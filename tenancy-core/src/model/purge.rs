//! How a tenant's rows are removed for good, and the paper that says so.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::TenantId;

/// How a purge goes about its work.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PurgeOptions {
    /// Whether it may begin before the period of grace is over; not by default. A legal hold it
    /// heeds all the same.
    pub force: bool,
    /// How many rows go in one transaction, 1 to 10,000; 1,000 by default.
    pub batch: u16,
    /// How long it rests between two transactions; not at all by default.
    pub pause: Duration,
    /// How long the tenant's slugs are kept from others afterwards; 30 days by default.
    pub keep_slugs: Duration,
}

impl Default for PurgeOptions {
    fn default() -> Self {
        Self {
            force: false,
            batch: 1_000,
            pause: Duration::ZERO,
            keep_slugs: Duration::from_hours(30 * 24),
        }
    }
}

impl PurgeOptions {
    /// Begins before the period of grace is over.
    pub fn with_force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Sets how many rows go in one transaction.
    pub fn with_batch(mut self, rows: u16) -> Self {
        self.batch = rows.clamp(1, 10_000);
        self
    }

    /// Sets how long it rests between two transactions.
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}

/// Says that a tenant's rows are gone: which, when, and by whom.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeletionCertificate {
    /// The tenant.
    pub tenant: TenantId,
    /// When the first row went, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// When nothing was left.
    pub finished_at: DateTime<Utc>,
    /// Whether it began before the period of grace was over.
    pub forced: bool,
    /// Who began it: the part of the host, and the user it acted for.
    pub started_by: String,
    /// How many rows of each table went. Rows that went with others by a cascade are not counted.
    pub rows: BTreeMap<String, u64>,
}

impl DeletionCertificate {
    /// How many rows went in all.
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }
}
