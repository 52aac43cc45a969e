//! The adapter: everything that knows SQL.

mod connection_rows;
mod connections;
mod revocations;
mod rotation;
mod rows;
mod secrets;
mod states;
mod subjects;

use tenancy_core::migrate::{Component, Migration};

pub(crate) use connection_rows::{Loaded, Openness, Token};
pub(crate) use connections::{ALL_TOKENS, Claim, NewConnection, PgConnections, Refreshed};
pub(crate) use revocations::{Ended, PendingRevocation, due_revocations};
pub(crate) use rotation::{KeyPage, Moved, PgRotation, Run, SealedRow};
pub use secrets::PgSecretStore;
pub(crate) use states::{NewState, Opened, PgStates, TakenState};
pub(crate) use subjects::{PgSubjects, SubjectKey};

/// This crate's part of the schema.
pub const COMPONENT: Component = Component::new("secrets", STEPS)
    .with_requires(&["core"])
    .with_permissions(crate::perm::ALL);

const STEPS: &[Migration] = &[
    Migration::new(
        1,
        "secrets",
        include_str!("../../migrations/0001_secrets.sql"),
    ),
    Migration::new(2, "oauth", include_str!("../../migrations/0002_oauth.sql")),
    Migration::new(
        3,
        "oauth_revocations",
        include_str!("../../migrations/0003_oauth_revocations.sql"),
    ),
    Migration::new(
        4,
        "held_subjects",
        include_str!("../../migrations/0004_held_subjects.sql"),
    ),
];
