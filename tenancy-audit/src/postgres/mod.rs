//! The adapter: everything that knows SQL.

mod append;
mod log;
mod partitions;
mod row;
mod store;

use tenancy_core::migrate::{Component, Migration};

pub use log::PgAuditLog;
pub use partitions::{Partition, PartitionState, Partitions};
pub use store::PgAuditStore;

/// This crate's part of the schema, for [`migrate`](tenancy_core::migrate::migrate).
pub const COMPONENT: Component = Component::new("audit", STEPS)
    .with_requires(&["core"])
    .with_permissions(crate::perm::ALL);

const STEPS: &[Migration] = &[Migration::new(
    1,
    "audit_logs",
    include_str!("../../migrations/0001_audit_logs.sql"),
)];
