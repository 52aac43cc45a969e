use tenancy_core::migrate::{Component, Migration};

/// What this crate brings to the database.
pub const COMPONENT: Component = Component::new("mcp", STEPS)
    .with_requires(&["core"])
    .with_permissions(crate::perm::ALL);

const STEPS: &[Migration] = &[
    Migration::new(1, "mcp", include_str!("../../migrations/0001_mcp.sql")),
    Migration::new(
        2,
        "connect",
        include_str!("../../migrations/0002_connect.sql"),
    ),
    Migration::new(
        3,
        "epochs_are_times",
        include_str!("../../migrations/0003_epochs_are_times.sql"),
    ),
];
