//! The adapter: everything that knows SQL.

mod announce;
mod changes;
mod component;
mod reads;
mod store;
mod sync;

pub(crate) use announce::PgAnnounce;
pub use component::COMPONENT;
pub use store::PgPolicyStore;
pub use sync::sync_permissions;

/// Classifies an error of the driver.
fn db(error: sqlx::Error) -> crate::Error {
    tenancy_core::Error::from(error).into()
}
