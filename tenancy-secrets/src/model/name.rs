//! How secrets are named.

use std::fmt;

use serde::Serialize;
use tenancy_core::{CredentialId, Grammar, InvalidInput};

tenancy_core::uuid_id! {
    /// Identifies a stored secret.
    pub struct SecretId;
}
tenancy_core::uuid_id! {
    /// Identifies a connection to an account at an OAuth provider.
    pub struct ConnectionId;
}
tenancy_core::text_key! {
    /// Names a provider, such as `hubspot`.
    pub struct ProviderKey(Grammar::word("provider_key_invalid", 63));
}
tenancy_core::text_key! {
    /// Names a part of a credential, such as `api_key`.
    pub struct FieldKey(Grammar::word("field_key_invalid", 63));
}

impl From<SecretId> for CredentialId {
    fn from(id: SecretId) -> Self {
        Self::from_uuid(id.as_uuid())
    }
}

impl From<ConnectionId> for CredentialId {
    fn from(id: ConnectionId) -> Self {
        Self::from_uuid(id.as_uuid())
    }
}

/// The longest name of a secret, in characters.
const MAX_NAME: usize = 100;

/// Where a tenant keeps a secret: for which provider, under which name, which part of it.
///
/// ```
/// use tenancy_secrets::{ProviderKey, SecretPath};
///
/// let path = SecretPath::new(ProviderKey::from_static("smartlead"));
/// assert_eq!(path.to_string(), "smartlead/default/api_key");
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct SecretPath {
    provider: ProviderKey,
    name: String,
    field: FieldKey,
}

impl SecretPath {
    /// The provider's `api_key` under the name `default`.
    pub fn new(provider: ProviderKey) -> Self {
        Self {
            provider,
            name: "default".to_owned(),
            field: FieldKey::from_static("api_key"),
        }
    }

    /// Another name, for a provider with several credentials.
    ///
    /// # Errors
    /// `secret_name_invalid`: empty, over 100 characters, with control characters, or surrounded
    /// by white space.
    pub fn with_name(mut self, name: impl Into<String>) -> Result<Self, InvalidInput> {
        self.name = checked(name.into())?;
        Ok(self)
    }

    /// Another part of the credential.
    pub fn with_field(mut self, field: FieldKey) -> Self {
        self.field = field;
        self
    }

    /// The provider.
    pub fn provider(&self) -> &ProviderKey {
        &self.provider
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part of the credential.
    pub fn field(&self) -> &FieldKey {
        &self.field
    }

    /// The tokens of a connection are named after it.
    pub(crate) fn of_connection(provider: ProviderKey, id: ConnectionId, field: FieldKey) -> Self {
        Self {
            provider,
            name: id.to_string(),
            field,
        }
    }

    /// As it was stored.
    pub(crate) fn stored(provider: ProviderKey, name: String, field: FieldKey) -> Self {
        Self {
            provider,
            name,
            field,
        }
    }
}

fn checked(name: String) -> Result<String, InvalidInput> {
    let length = name.chars().count();
    let good = (1..=MAX_NAME).contains(&length)
        && name.trim() == name
        && !name.chars().any(char::is_control);
    if good {
        return Ok(name);
    }
    let shown = InvalidInput::quote(&name);
    let rule = "use 1 to 100 characters without control characters or white space at the ends";
    Err(InvalidInput::new(
        "secret_name_invalid",
        format!("`{shown}` is no name of a secret: {rule}"),
    ))
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.provider, self.name, self.field)
    }
}
