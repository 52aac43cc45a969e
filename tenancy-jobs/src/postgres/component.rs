//! What this crate brings to the database.

use tenancy_core::migrate::{Component, Migration};

/// The queue's part of the schema.
pub const COMPONENT: Component = Component::new("jobs", STEPS)
    .with_requires(&["core"])
    .with_permissions(crate::service::perm::ALL);

const STEPS: &[Migration] = &[Migration::new(
    1,
    "jobs",
    include_str!("../../migrations/0001_jobs.sql"),
)];
