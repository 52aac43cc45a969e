//! Plain values and pure logic, without input or output.

mod api_key;
mod context;
mod egress;
mod event;
mod export;
mod fold;
mod id;
mod invalid;
mod invitation;
pub(crate) mod invitation_error;
mod job;
mod kept;
mod key;
mod lifecycle;
mod member;
mod outbox;
mod permission;
mod platform;
mod principal;
mod purge;
mod retry;
mod role;
mod secret;
mod setting;
mod subject;
mod support;
mod tenant;
mod text;
mod trace;
#[cfg(feature = "webhooks")]
mod webhook;

pub(crate) use api_key::KeyText;
pub use api_key::{ApiKey, IssuedApiKey, KeyEnvironment, NewApiKey};
pub use context::{Access, TenantCtx};
pub use egress::Egress;
pub use event::{Event, Origin, Outcome, Target};
pub use export::{ExportOptions, ExportSummary};
pub(crate) use fold::Fold;
pub use id::{
    ApiKeyId, CredentialId, ImpersonationId, InvitationId, JobId, OwnershipOfferId, RequestId,
    TenantId, UserId,
};
pub use invalid::InvalidInput;
pub use invitation::{
    BulkInvitation, BulkOutcome, Invitation, InvitationPage, InvitationStatus, NewInvitation,
    SentInvitation,
};
pub(crate) use job::checked_job;
pub use job::{JobRun, NewJob};
pub use kept::Kept;
pub use key::{ActionKey, Grammar, JobKind, PermissionKey, RoleKey, ServiceKey, SettingKey};
pub use lifecycle::{
    Grace, HoldReference, ListedTenant, Reason, SlugOwner, TenantFilter, TenantState, Transition,
};
pub use member::{Member, MemberStatus, OfferAnswer, OwnershipOffer};
pub use outbox::{Drained, OutboxJob};
pub use permission::{Decision, DenyReason, Granted, Permission, PermissionDef, PermissionNote};
pub use platform::{PlatformEntry, PlatformEvent, PlatformEventKind};
pub use principal::{Actor, Principal};
pub use purge::{DeletionCertificate, PurgeOptions};
pub use retry::Retry;
pub(crate) use role::tell;
pub use role::{HeldRole, RolesChange};
pub(crate) use secret::random;
pub use secret::{Credential, SecretText};
pub use setting::{Limit, Setting};
pub use subject::{SealedText, Subject};
pub use support::{Impersonation, NewImpersonation, SupportGrant};
pub use tenant::{MyTenant, MyTenantsPage, NewTenant, Suspension, Tenant, TenantStatus};
pub use text::{Email, Slug, TenantName};
pub use trace::{TraceId, Traceparent};
#[cfg(feature = "webhooks")]
pub(crate) use webhook::body_of;
#[cfg(feature = "webhooks")]
pub use webhook::{SignedWebhook, WebhookEndpoint, WebhookKeys, WebhookMessage, WebhookSecret};
