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
    Applied, Change, Epoch, Explanation, Grant, GrantKey, Holder, MatrixRole, MemberState, NewRole,
    PermissionSet, PolicyDiff, PolicyDocument, RefusedChange, RegisteredPermission, Role,
    RoleDocument, RoleMatrix, RoleName, RolePage, RoleTemplate, Snapshot, TEMPLATES, Wildcard,
};
#[cfg(feature = "testing")]
pub use port::MockPolicyStore;
pub use port::PolicyStore;
pub use postgres::{
    COMPONENT, EPOCH_TRIGGERS, EditedRole, PgPolicyStore, Synced, edited_roles, purge_ended_roles,
    record_upgrades, sync_permissions, sync_roles,
};
pub use service::{AuthzOptions, ImportOptions, PgAuthorizer, Rights, Roles, perm};
