//! The adapter: everything that knows SQL.

mod announce;
mod changes;
mod component;
mod held;
mod purge;
mod reads;
mod record;
mod reviews;
mod store;
mod stored;
mod sync;

pub(crate) use announce::PgAnnounce;
pub use component::{COMPONENT, EPOCH_TRIGGERS};
pub use purge::purge_ended_roles;
pub use record::record_upgrades;
pub use store::PgPolicyStore;
pub use sync::{EditedRole, Synced, edited_roles, sync_permissions, sync_roles};

/// Classifies an error of the driver.
fn db(error: sqlx::Error) -> crate::Error {
    tenancy_core::Error::from(error).into()
}
