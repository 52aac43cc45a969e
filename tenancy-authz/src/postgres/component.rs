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
];
