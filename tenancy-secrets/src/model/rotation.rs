//! How keys are changed, and how far that is.

use std::time::Duration;

use serde::Serialize;
use tenancy_core::TenantId;

use super::key::KeyId;

/// How [`Rotation`](crate::Rotation) works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RotateOptions {
    /// Rows that are sealed anew in one transaction; 200 by default, 1 to 5,000.
    pub batch: u16,
    /// How long a retired key, under which nothing is left, is kept for readers that hold an old
    /// row and for a restored backup; 24 hours by default.
    pub grace: Duration,
}

impl Default for RotateOptions {
    fn default() -> Self {
        Self {
            batch: 200,
            grace: Duration::from_hours(24),
        }
    }
}

impl RotateOptions {
    /// Sets the size of a batch.
    pub fn with_batch(mut self, rows: u16) -> Self {
        self.batch = rows.clamp(1, 5_000);
        self
    }

    /// Sets how long a retired key is kept; zero destroys it with the run.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// Told after each batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RotationProgress {
    /// Whose secrets.
    pub tenant: TenantId,
    /// Rows sealed anew by this run so far, those before a crash included.
    pub done: u64,
    /// Rows there were when the run began.
    pub total: u64,
}

/// What a rotation of one tenant did.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TenantRotation {
    /// Whose secrets.
    pub tenant: TenantId,
    /// The key that seals now.
    pub key: KeyId,
    /// Rows sealed anew by the run; those that were written meanwhile are not among them.
    pub done: u64,
    /// Whether the run had been left unfinished before.
    pub resumed: bool,
    /// Older keys that were destroyed.
    pub destroyed: u64,
}

/// What a rotation of all tenants did.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RotationReport {
    /// Tenants whose key was changed.
    pub tenants: u64,
    /// Rows sealed anew.
    pub rows: u64,
    /// Older keys that were destroyed.
    pub destroyed: u64,
    /// Tenants where it failed, and the code of the error. Their runs go on next time.
    pub failed: Vec<(TenantId, &'static str)>,
}

impl RotationReport {
    pub(crate) fn add(&mut self, tenant: &TenantRotation) {
        self.tenants += 1;
        self.rows += tenant.done;
        self.destroyed += tenant.destroyed;
    }
}
