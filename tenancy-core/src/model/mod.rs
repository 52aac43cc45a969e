//! Plain values and pure logic, without input or output.

mod context;
mod event;
mod id;
mod invalid;
mod job;
mod key;
mod permission;
mod principal;
mod retry;
mod secret;
mod setting;
mod tenant;
mod text;

pub use context::{Access, TenantCtx};
pub use event::{Event, Origin, Outcome, Target};
pub use id::{ApiKeyId, CredentialId, InvitationId, JobId, RequestId, TenantId, UserId};
pub use invalid::InvalidInput;
pub use job::{JobRun, NewJob};
pub use key::{ActionKey, Grammar, JobKind, PermissionKey, RoleKey, ServiceKey, SettingKey};
pub use permission::{Decision, DenyReason, Granted, Permission, PermissionDef};
pub use principal::{Actor, Principal};
pub use retry::Retry;
pub use secret::{Credential, SecretText};
pub use setting::{Limit, Setting};
pub use tenant::{
    Invitation, InvitationStatus, Member, MemberStatus, MyTenant, NewInvitation, NewTenant,
    SentInvitation, Suspension, Tenant, TenantStatus,
};
pub use text::{Email, Slug, TenantName};
