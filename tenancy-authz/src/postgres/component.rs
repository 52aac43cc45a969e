//! This crate's part of the schema.

use tenancy_core::migrate::{Component, Migration};

use crate::perm;

/// The tables and functions of roles and permissions. After migrating,
/// [`sync_permissions`](crate::sync_permissions) registers what the components and the host define.
pub const COMPONENT: Component = Component::new("authz", STEPS)
    .with_requires(&["core"])
    .with_permissions(perm::ALL);

const STEPS: &[Migration] = &[
    Migration::new(1, "roles", include_str!("../../migrations/0001_roles.sql")),
    Migration::new(
        2,
        "permission_helpers",
        include_str!("../../migrations/0002_permission_helpers.sql"),
    ),
    Migration::new(
        3,
        "role_functions",
        include_str!("../../migrations/0003_role_functions.sql"),
    ),
    Migration::new(
        4,
        "assignments",
        include_str!("../../migrations/0004_assignments.sql"),
    ),
    Migration::new(
        5,
        "members",
        include_str!("../../migrations/0005_members.sql"),
    ),
    Migration::new(
        6,
        "wildcards_and_parents",
        include_str!("../../migrations/0006_wildcards_and_parents.sql"),
    ),
    Migration::new(
        7,
        "templates",
        include_str!("../../migrations/0007_templates.sql"),
    ),
    Migration::new(
        8,
        "review_helpers",
        include_str!("../../migrations/0008_review_helpers.sql"),
    ),
    Migration::new(
        9,
        "policy_changes",
        include_str!("../../migrations/0009_policy_changes.sql"),
    ),
    Migration::new(
        10,
        "upgrades_on_record",
        include_str!("../../migrations/0010_upgrades_on_record.sql"),
    ),
    Migration::new(
        11,
        "epochs_are_times",
        include_str!("../../migrations/0011_epochs_are_times.sql"),
    ),
    Migration::new(
        12,
        "permission_check",
        include_str!("../../migrations/0012_permission_check.sql"),
    ),
    Migration::new(
        13,
        "each_tenant_for_itself",
        include_str!("../../migrations/0013_each_tenant_for_itself.sql"),
    ),
    Migration::new(
        14,
        "policy_changes_by_kind",
        include_str!("../../migrations/0014_policy_changes_by_kind.sql"),
    ),
    Migration::new(
        15,
        "policy_changes_at_once",
        include_str!("../../migrations/0015_policy_changes_at_once.sql"),
    ),
    Migration::new(
        16,
        "closed_and_checked",
        include_str!("../../migrations/0016_closed_and_checked.sql"),
    ),
    Migration::new(
        17,
        "owner_keeps_its_name",
        include_str!("../../migrations/0017_owner_keeps_its_name.sql"),
    ),
    Migration::new(
        18,
        "roles_on_record",
        include_str!("../../migrations/0018_roles_on_record.sql"),
    ),
];

/// Triggers as a second net under the functions that write: whatever else changes roles, grants,
/// assignments, memberships or a tenant's state (a statement by hand, a script, a login with more grants
/// than it should have) counts as a change for every cache too, and so within its bound. A set of its own,
/// for a database on one node: a cluster of shards takes no triggers. Run it with the others:
/// `migrate(&operator, &[&CORE, &COMPONENT, &EPOCH_TRIGGERS])`.
pub const EPOCH_TRIGGERS: Component =
    Component::new("authz_epochs", EPOCH_STEPS).with_requires(&["authz"]);

const EPOCH_STEPS: &[Migration] = &[
    Migration::new(
        1,
        "triggers",
        include_str!("../../migrations/epochs/0001_triggers.sql"),
    ),
    Migration::new(
        2,
        "epochs_are_times",
        include_str!("../../migrations/epochs/0002_epochs_are_times.sql"),
    ),
];
