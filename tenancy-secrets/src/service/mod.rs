//! The use cases: they talk to ports and know no SQL.

mod keys;
mod oauth;
mod record;
mod rotation;
mod sealer;
mod subject;
mod vault;

#[cfg(feature = "axum")]
pub(crate) use oauth::{ACCESS_REFUSED, flow_of};
pub use oauth::{OAuthBroker, OAuthBrokerBuilder, OAuthClient};
pub use rotation::Rotation;
pub use subject::SubjectVault;
pub use vault::{SecretVault, Stored};

tenancy_core::permissions! {
    /// The permissions that this crate's services ask for.
    pub mod perm {
        SecretsRead = "secrets.read", "see and open integration secrets", [];
        SecretsWrite = "secrets.write", "store and delete integration secrets", [];
        SubjectsErase = "subjects.erase", "erase a person's data by destroying its key", [];
        OauthRead = "oauth.read", "see which accounts are connected", [member, support];
        OauthConnect = "oauth.connect", "connect and disconnect accounts", [];
    }
}
