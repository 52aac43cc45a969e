//! The use cases: they talk to ports and know no SQL.

mod api_keys;
mod end;
mod invitations;
mod lifecycle;
mod limits;
mod members;
mod ownership;
mod platform;
mod refusal;
mod settings;
mod support;
mod tenants;
#[cfg(feature = "webhooks")]
mod webhooks;

pub use api_keys::ApiKeys;
pub use end::Exports;
pub use invitations::Invitations;
#[cfg(feature = "testing")]
pub(crate) use invitations::token::hash_of as invitation_hash;
pub use limits::{Limits, limit};
pub use members::Members;
pub use ownership::Ownership;
pub use platform::Platform;
pub use settings::Settings;
pub use support::Support;
pub use tenants::Tenants;
#[cfg(feature = "webhooks")]
pub use webhooks::{Relayed, WebhookAudit, WebhookHandler, WebhookRelay, WebhookSender, Webhooks};

crate::permissions! {
    /// The permissions that the core's services ask for.
    pub mod perm {
        ApiKeysManage = "api_keys.manage", "make, list, rotate and revoke API keys", [];
        MembersRead = "members.read", "see who is a member", [member, support];
        MembersInvite = "members.invite", "invite people and take invitations back", [];
        MembersManage = "members.manage", "change roles of members, keep them out and remove them", [];
        TenantManage = "tenant.manage", "change the tenant's settings, names and state", [];
        TenantDelete = "tenant.delete", "have the tenant deleted and take that back", [];
        TenantExport = "tenant.export", "export everything that the tenant has", [];
    }
}
