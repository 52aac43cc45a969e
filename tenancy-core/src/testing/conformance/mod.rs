//! What every implementation of a shared port has to do.
//!
//! Each function runs one suite and panics where the contract is broken; an error means that a call
//! failed which must not. They make tenants of their own in a migrated database.

mod api_key_store;
mod audit_sink;
mod authenticate;
mod authorizer;
mod credential_source;
mod invitation_store;
mod job_sink;
mod membership_store;
mod platform_log;
mod role_directory;
mod setting_store;
mod subject_cipher;
mod support_store;
mod tenant_life;
mod tenant_store;

pub use api_key_store::api_key_store;
pub use audit_sink::{AuditReader, SeenEntry, audit_sink, silent_audit_sink};
pub use authenticate::{Headers, LoginHost, authenticate};
pub use authorizer::{AuthorizerHost, authorizer};
pub use credential_source::{CredentialHost, credential_source};
pub use invitation_store::invitation_store;
pub use job_sink::job_sink;
pub use membership_store::{membership_store, ownership_store};
pub use platform_log::{PlatformReader, platform_log};
pub use role_directory::role_directory;
pub use setting_store::setting_store;
pub use subject_cipher::subject_cipher;
pub use support_store::support_store;
pub use tenant_life::tenant_life;
pub use tenant_store::tenant_store;

/// What a call was refused with; `ok`, if it was not.
fn code<T>(result: Result<T, crate::Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

/// The suite itself could not go on: its host gave it something it can't use.
fn unusable(what: &'static str) -> crate::Error {
    crate::Error::new(crate::ErrorKind::Internal, "suite_unusable", what)
}

/// The error of a call that has to be refused like this.
fn refused<T>(result: Result<T, crate::Error>, kind: crate::ErrorKind) -> crate::Error {
    let error = result.err();
    assert_eq!(error.as_ref().map(crate::Error::kind), Some(kind));
    error.unwrap_or_else(|| unusable("nothing was refused"))
}
