//! Connections to accounts at providers.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenancy_core::{SecretText, TenantId, UserId};
use url::Url;

use super::name::{ConnectionId, ProviderKey};

/// What may be shown of a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Connection {
    /// Which connection.
    pub id: ConnectionId,
    /// To which provider.
    pub provider: ProviderKey,
    /// Whether it works.
    pub status: ConnectionStatus,
    /// Why it does not, such as `invalid_grant`; or what the last refresh met.
    pub status_reason: Option<String>,
    /// The account's id at the provider, where it tells.
    pub account_id: Option<String>,
    /// The account's name for people.
    pub account_label: Option<String>,
    /// What was asked for.
    pub requested_scopes: Vec<String>,
    /// What was granted.
    pub granted_scopes: Vec<String>,
    /// Counts the tokens it has had.
    pub generation: i64,
    /// When the access token ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Who connected it last.
    pub connected_by: UserId,
    /// When it was connected first.
    pub created_at: DateTime<Utc>,
    /// When anything of it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Connection {
    /// Scopes that were asked for and not granted: the user took them out at the provider.
    pub fn missing_scopes(&self) -> Vec<&str> {
        let missing = self
            .requested_scopes
            .iter()
            .filter(|scope| !self.granted_scopes.contains(scope));
        missing.map(String::as_str).collect()
    }
}

/// Whether a connection works.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectionStatus {
    /// It does.
    Connected,
    /// A person has to connect it again: the grant is dead.
    NeedsReauth,
    /// It has no tokens any more.
    Disconnected,
}

impl ConnectionStatus {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::NeedsReauth => "needs_reauth",
            Self::Disconnected => "disconnected",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Connected, Self::NeedsReauth, Self::Disconnected]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// How a connection is begun.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StartOptions {
    /// What is asked for; the provider's defaults, if empty. At most 100.
    pub scopes: Vec<String>,
    /// Where the browser goes afterwards: a path that the broker's allow-list knows. Its first
    /// entry, if `None`.
    pub return_to: Option<String>,
    /// The connection that is connected again; the account must be the same.
    pub reconnect: Option<ConnectionId>,
}

impl StartOptions {
    /// Asks for these scopes.
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sends the browser there afterwards.
    pub fn with_return_to(mut self, path: impl Into<String>) -> Self {
        self.return_to = Some(path.into());
        self
    }

    /// Connects this connection again.
    pub fn with_reconnect(mut self, connection: ConnectionId) -> Self {
        self.reconnect = Some(connection);
        self
    }
}

/// A connection that was begun: where to send the browser, and what it has to bring back.
#[derive(Debug)]
#[non_exhaustive]
pub struct Started {
    /// The provider's page, with the state in it.
    pub authorize_url: Url,
    /// Tells flows of one browser apart: part of the cookie's name.
    pub flow: String,
    /// The browser's secret: set it as a cookie, `HttpOnly`, that the callback gets.
    pub browser_secret: SecretText,
}

/// What a callback brings.
#[non_exhaustive]
pub struct FinishRequest {
    /// The provider in the callback's path.
    pub provider: ProviderKey,
    /// Who is logged in.
    pub user: UserId,
    /// The parameter `state`.
    pub state: SecretText,
    /// The browser's secret, from the cookie of this flow.
    pub browser_secret: Option<SecretText>,
    /// The parameter `code`.
    pub code: Option<SecretText>,
    /// The parameter `error`.
    pub error: Option<String>,
    /// The parameter `iss`.
    pub issuer: Option<String>,
}

impl FinishRequest {
    /// A callback for a user, with its state.
    pub fn new(provider: ProviderKey, user: UserId, state: SecretText) -> Self {
        Self {
            provider,
            user,
            state,
            browser_secret: None,
            code: None,
            error: None,
            issuer: None,
        }
    }

    /// Adds the cookie's secret.
    pub fn with_browser_secret(mut self, secret: SecretText) -> Self {
        self.browser_secret = Some(secret);
        self
    }

    /// Adds the code.
    pub fn with_code(mut self, code: SecretText) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds the provider's issuer.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Adds the provider's error.
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }
}

impl fmt::Debug for FinishRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FinishRequest({} for {})", self.provider, self.user)
    }
}

/// A connection that was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which one.
    pub connection: ConnectionId,
    /// Where the browser goes now.
    pub return_to: String,
}

/// How disconnecting ended at the provider. The connection has no tokens here in any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DisconnectOutcome {
    /// The provider took the tokens back.
    Revoked,
    /// It did not answer, or refused, for as long as it was asked: the user can take the access back
    /// on its pages.
    RevocationFailed,
    /// It did not answer, or refused, and is asked again: see
    /// [`OAuthBroker::sweep_revocations`](crate::OAuthBroker::sweep_revocations).
    RevocationPending,
    /// Another connection lives on the same grant, which revoking would have ended.
    SharedGrant,
    /// It has no way to take them back, or there was nothing left to take back.
    Unsupported,
}

impl DisconnectOutcome {
    /// Stable text for a connection's reason and audit entries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::RevocationFailed => "revocation_failed",
            Self::RevocationPending => "revocation_pending",
            Self::SharedGrant => "shared_grant",
            Self::Unsupported => "revocation_unsupported",
        }
    }
}

/// What a sweep over tokens that are to be taken back came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RevocationSweep {
    /// Those that are dead at the provider now, or that another connection lives on.
    pub ended: u64,
    /// Those that were given up.
    pub failed: u64,
    /// Those that are tried again.
    pub pending: u64,
}
