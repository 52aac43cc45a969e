//! A tenant's connection to a provider, and where it stands.

use chrono::{DateTime, Utc};
use tenancy_core::{CredentialId, UserId};

use super::{ConnectionId, ConnectionKey, ProviderKey, invocation::storable};

/// A tenant's connection to a provider.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connection {
    /// The identifier.
    pub id: ConnectionId,
    /// Its name in the tenant; the first part of its tools' names.
    pub key: ConnectionKey,
    /// To what.
    pub provider: ProviderKey,
    /// Where it stands.
    pub status: ConnectionStatus,
    /// Why, for every status but the good ones.
    pub status_reason: Option<String>,
    /// Since when, by the database's clock.
    pub status_at: DateTime<Utc>,
    /// What opens it, kept by the [`CredentialSource`](tenancy_core::CredentialSource).
    pub credential: Option<CredentialId>,
    /// Counts up each time it is connected anew; news of an older generation are ignored.
    pub generation: i64,
    /// The protocol's revision that was agreed on last.
    pub protocol: Option<String>,
    /// Who connected it; `None` for a service.
    pub created_by: Option<UserId>,
    /// When, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Where a connection stands.
///
/// ```text
/// pending ──> connected <──> degraded        any ──> disconnected
///    │            │             │            disconnected, needs_reauth ──connect──> pending
///    └────────────┴─────────────┴──> needs_reauth
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ConnectionStatus {
    /// It works.
    Connected,
    /// It worked; the last try did not. Calls are still tried.
    Degraded,
    /// Somebody took it away. Calls are refused.
    Disconnected,
    /// The credential is gone or no longer taken. Calls are refused until somebody connects anew.
    NeedsReauth,
    /// It was never reached yet.
    Pending,
}

impl ConnectionStatus {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Degraded => "degraded",
            Self::Disconnected => "disconnected",
            Self::NeedsReauth => "needs_reauth",
            Self::Pending => "pending",
        }
    }

    /// Whether calls are tried.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Connected | Self::Degraded | Self::Pending)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Self::Connected,
            Self::Degraded,
            Self::Disconnected,
            Self::NeedsReauth,
            Self::Pending,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
    }
}

/// A connection to be made, or made anew.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewConnection {
    /// To what.
    pub provider: ProviderKey,
    /// Its name in the tenant.
    pub key: ConnectionKey,
    /// What opens it.
    pub credential: Option<CredentialId>,
}

impl NewConnection {
    /// A connection that bears its provider's name and needs no credential.
    pub fn new(provider: ProviderKey) -> Self {
        let key = ConnectionKey::parse(provider.as_str());
        Self {
            // Both keys have one grammar.
            key: key.unwrap_or(ConnectionKey::from_static("connection")),
            provider,
            credential: None,
        }
    }

    /// Chooses another name, for a second connection to the same provider.
    pub fn with_key(mut self, key: ConnectionKey) -> Self {
        self.key = key;
        self
    }

    /// Names what opens it.
    pub fn with_credential(mut self, credential: CredentialId) -> Self {
        self.credential = Some(credential);
        self
    }
}

/// News of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatusChange {
    /// Which connection.
    pub connection: ConnectionId,
    /// The generation the news are of.
    pub generation: i64,
    /// The new status.
    pub to: ConnectionStatus,
    /// Why; cut to 500 characters. Needed for all but the good ones.
    pub reason: Option<String>,
    /// The protocol's revision, where it was agreed on anew.
    pub protocol: Option<String>,
}

impl StatusChange {
    /// News without a reason.
    pub fn new(connection: &Connection, to: ConnectionStatus) -> Self {
        Self {
            connection: connection.id,
            generation: connection.generation,
            to,
            reason: None,
            protocol: None,
        }
    }

    /// Says why.
    pub fn with_reason(mut self, reason: &str) -> Self {
        self.reason = Some(storable(reason).chars().take(500).collect());
        self
    }

    /// Says which revision of the protocol is spoken.
    pub fn with_protocol(mut self, protocol: Option<String>) -> Self {
        self.protocol = protocol;
        self
    }
}
