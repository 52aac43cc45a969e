#![doc = include_str!("../README.md")]

mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "tonic")]
pub mod grpc;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind};
pub use model::{
    Applied, Change, Epoch, Explanation, Grant, Holder, MemberState, NewRole, PermissionSet,
    RegisteredPermission, Role, RoleName, RolePage, RoleTemplate, Snapshot, TEMPLATES,
};
#[cfg(feature = "testing")]
pub use port::MockPolicyStore;
pub use port::PolicyStore;
pub use postgres::{COMPONENT, PgPolicyStore, sync_permissions};
pub use service::{AuthzOptions, PgAuthorizer, Rights, Roles, perm};
