//! The traits that a host may implement, and those that the crates of the family share.
//!
//! Every port is object-safe, `Send + Sync + 'static`, and has no default methods, so that a
//! wrapper can't lose one. Each documents its *contract*, *concurrency*, *errors*, *cancellation*
//! and what an implementor has to know.

mod api_key;
mod audit;
mod authenticate;
mod authorizer;
mod cipher;
mod credential;
mod invitation;
mod job;
#[cfg(feature = "jwt")]
mod jwks;
mod membership;
mod platform;
mod role;
mod setting;
mod store;
mod support;
#[cfg(feature = "webhooks")]
mod webhook;

pub use api_key::{ApiKeyStore, KeyState, OpenedKey, Replacement, StoredKey};
pub use audit::AuditSink;
pub use authenticate::{Authenticate, CallerKind, Identity, RequestHead};
pub use authorizer::{Authorizer, AuthorizerExt, PeekAuthorizer};
pub use cipher::SubjectCipher;
pub use credential::CredentialSource;
pub use invitation::{
    Acceptance, InvitationBatch, InvitationBounds, InvitationStore, OpenedInvitation,
};
pub use job::{JobHandler, JobProgress, JobSink};
#[cfg(feature = "jwt")]
pub use jwks::JwksHttp;
pub use membership::{MembershipStore, OwnershipStore};
pub use platform::PlatformLog;
pub use role::RoleDirectory;
pub use setting::{SettingChange, SettingStore};
pub use store::TenantStore;
pub use support::SupportStore;
#[cfg(feature = "webhooks")]
pub use webhook::{WebhookAnswer, WebhookPost, WebhookTransport};

#[cfg(all(feature = "jwt", feature = "testing"))]
pub use self::jwks::MockJwksHttp;
#[cfg(all(feature = "webhooks", feature = "testing"))]
pub use self::webhook::MockWebhookTransport;
#[cfg(feature = "testing")]
pub use self::{
    audit::MockAuditSink, authenticate::MockAuthenticate, authorizer::MockAuthorizer,
    cipher::MockSubjectCipher, credential::MockCredentialSource, job::MockJobHandler,
    job::MockJobProgress, job::MockJobSink, platform::MockPlatformLog, role::MockRoleDirectory,
};
