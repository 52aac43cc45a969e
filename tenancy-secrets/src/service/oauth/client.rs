//! The host's client at a provider.

use std::fmt;

use tenancy_core::SecretText;

/// What a provider gave the host when it registered its application.
pub struct OAuthClient {
    pub(super) id: String,
    pub(super) secret: Option<SecretText>,
}

impl OAuthClient {
    /// A client with a secret.
    pub fn new(id: impl Into<String>, secret: SecretText) -> Self {
        Self {
            id: id.into(),
            secret: Some(secret),
        }
    }

    /// A public client, which has no secret and relies on PKCE.
    pub fn public(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: None,
        }
    }
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthClient({})", self.id)
    }
}
