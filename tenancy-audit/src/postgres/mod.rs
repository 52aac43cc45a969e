//! The adapter: everything that knows SQL.

mod adopting;
mod append;
mod filters;
mod follow;
mod keys;
mod log;
mod months;
mod partitions;
mod policies;
mod proofs;
mod retention;
mod row;
mod seals;
mod single;
mod store;
mod streams;

use tenancy_core::{
    Error as CoreError, ErrorKind as CoreKind,
    migrate::{Component, Migration},
};

pub use keys::IdempotencyKeys;
pub use log::PgAuditLog;
pub use partitions::{MonthMade, Partition, PartitionState, Partitions};
pub use store::PgAuditStore;

pub(crate) use adopting::{Adopting, SealedTenant, missing_now};
pub(crate) use policies::PolicyChange;
pub(crate) use proofs::{Reader, Reading};
pub(crate) use retention::{HoldChange, OwnerTx, Untold, recent_month};
pub(crate) use seals::{NewSeal, PgSeals, Round, Unsealed};
pub(crate) use streams::{Hold, HoldState, PgStreams, Place};

/// This crate's part of the schema, for [`migrate`](tenancy_core::migrate::migrate).
pub const COMPONENT: Component = Component::new("audit", STEPS)
    .with_requires(&["core"])
    .with_permissions(crate::perm::ALL);

const STEPS: &[Migration] = &[
    Migration::new(
        1,
        "audit_logs",
        include_str!("../../migrations/0001_audit_logs.sql"),
    ),
    Migration::new(
        2,
        "audit_seals",
        include_str!("../../migrations/0002_audit_seals.sql"),
    ),
    Migration::new(
        3,
        "audit_shapes",
        include_str!("../../migrations/0003_audit_shapes.sql"),
    ),
    Migration::new(
        4,
        "audit_anchors",
        include_str!("../../migrations/0004_audit_anchors.sql"),
    ),
    Migration::new(
        5,
        "audit_policies",
        include_str!("../../migrations/0005_audit_policies.sql"),
    ),
    Migration::new(
        6,
        "audit_adoptions",
        include_str!("../../migrations/0006_audit_adoptions.sql"),
    ),
    Migration::new(
        7,
        "audit_streams",
        include_str!("../../migrations/0007_audit_streams.sql"),
    ),
    Migration::new(
        8,
        "audit_keys",
        include_str!("../../migrations/0008_audit_keys.sql"),
    ),
    Migration::new(
        9,
        "audit_key_keeping",
        include_str!("../../migrations/0009_audit_key_keeping.sql"),
    ),
    Migration::new(
        10,
        "audit_undelivered",
        include_str!("../../migrations/0010_audit_undelivered.sql"),
    ),
    Migration::new(
        11,
        "audit_snapshots",
        include_str!("../../migrations/0011_audit_snapshots.sql"),
    ),
    Migration::new(
        12,
        "audit_bounds",
        include_str!("../../migrations/0012_audit_bounds.sql"),
    ),
    Migration::new(
        13,
        "audit_samples",
        include_str!("../../migrations/0013_audit_samples.sql"),
    ),
    Migration::new(
        14,
        "audit_append_cost",
        include_str!("../../migrations/0014_audit_append_cost.sql"),
    ),
    Migration::new(
        15,
        "audit_check_cost",
        include_str!("../../migrations/0015_audit_check_cost.sql"),
    ),
    Migration::new(
        16,
        "audit_keeping",
        include_str!("../../migrations/0016_audit_keeping.sql"),
    ),
];

/// Triggers as a second net under the grants: nothing in the log is changed or removed but by the functions
/// of retention, also by a login that has more grants than it should. A set of its own, for a database on one
/// node: a cluster of shards takes no triggers. Run it with the others:
/// `migrate(&operator, &[&CORE, &COMPONENT, &APPEND_ONLY])`.
pub const APPEND_ONLY: Component =
    Component::new("audit_append_only", APPEND_ONLY_STEPS).with_requires(&["audit"]);

const APPEND_ONLY_STEPS: &[Migration] = &[Migration::new(
    1,
    "triggers",
    include_str!("../../migrations/append_only/0001_triggers.sql"),
)];

/// A function of the database answered what this version does not know.
fn unknown_word(about: &str) -> CoreError {
    let message = format!("the database answered something unknown about {about}");
    CoreError::new(CoreKind::Internal, "unexpected_row", message)
}
