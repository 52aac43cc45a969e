//! What every implementation of a shared port has to do.
//!
//! Each function runs one suite and panics where the contract is broken; an error means that a call
//! failed which must not. They make tenants of their own in a migrated database.

mod audit_sink;
mod authorizer;
mod platform_log;
mod role_directory;

pub use audit_sink::{AuditReader, SeenEntry, audit_sink, silent_audit_sink};
pub use authorizer::{AuthorizerHost, authorizer};
pub use platform_log::{PlatformReader, platform_log};
pub use role_directory::role_directory;

/// The suite itself could not go on: its host gave it something it can't use.
fn unusable(what: &'static str) -> crate::Error {
    crate::Error::new(crate::ErrorKind::Internal, "suite_unusable", what)
}
