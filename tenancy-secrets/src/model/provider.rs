//! What has to be known of an OAuth provider: data, checked when it is read.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::name::ProviderKey;
use crate::Error;

/// An OAuth 2 provider.
///
/// A host can describe its own, here or as TOML; see [`Catalog`](crate::Catalog).
///
/// ```
/// use tenancy_secrets::{Identity, Provider, ProviderKey, Revocation};
///
/// let url = |text: &str| text.parse().unwrap();
/// let acme = Provider::new(
///     ProviderKey::from_static("acme"),
///     "Acme",
///     url("https://acme.example/authorize"),
///     url("https://acme.example/token"),
/// )
/// .unwrap()
/// .with_default_scopes(["leads.read"])
/// .with_revocation(Revocation::new(url("https://acme.example/revoke")))
/// .with_identity(Identity::userinfo(url("https://acme.example/me"), "/sub"));
/// assert!(acme.check().is_ok());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Provider {
    /// Names it in URLs and rows.
    #[serde(skip, default = "unnamed")]
    pub key: ProviderKey,
    /// Its name for people.
    pub title: String,
    /// Where the browser is sent.
    pub authorize_url: Url,
    /// Where codes and refresh tokens become tokens.
    pub token_url: Url,
    /// How the host's client proves itself; in the body by default.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Whether PKCE is sent; it is by default.
    #[serde(default)]
    pub pkce: Pkce,
    /// What `iss` must be in the callback (RFC 9207).
    #[serde(default)]
    pub issuer: Option<String>,
    /// Whether `iss` may be missing there.
    #[serde(default)]
    pub issuer_check: IssuerCheck,
    /// What stands between scopes; a space by default.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// Asked for when nothing else is.
    #[serde(default)]
    pub default_scopes: Vec<String>,
    /// Parameters that go with the browser.
    #[serde(default)]
    pub authorize_params: BTreeMap<String, String>,
    /// How many seconds a token lives where the answer does not say; `None` for ever.
    #[serde(default)]
    pub token_lifetime: Option<u64>,
    /// Where in the answer the tokens are, as a JSON pointer, if not at the top.
    #[serde(default)]
    pub token_at: Option<String>,
    /// How tokens are revoked, where they can be.
    #[serde(default)]
    pub revocation: Option<Revocation>,
    /// How the account is found out, where it can be.
    #[serde(default)]
    pub identity: Option<Identity>,
}

/// How a client proves itself at the token endpoint.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientAuth {
    /// By HTTP Basic.
    Basic,
    /// In the body.
    #[default]
    Body,
}

/// Whether PKCE (RFC 7636) is sent, with S256.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pkce {
    /// It is.
    #[default]
    Send,
    /// The provider refuses it.
    Omit,
}

/// What happens to a callback without `iss`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IssuerCheck {
    /// It is accepted; one with another `iss` is not.
    #[default]
    IfPresent,
    /// It is refused: the provider says that it always sends one.
    Required,
}

/// How tokens are revoked (RFC 7009).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Revocation {
    /// Where.
    pub url: Url,
    /// Which token is sent; the refresh token by default, the access token where there is none.
    #[serde(default)]
    pub token: RevokedToken,
    /// What the provider takes back.
    #[serde(default)]
    pub scope: RevokedScope,
    /// Whether the client proves itself; it does by default.
    #[serde(default = "yes")]
    pub client_auth: bool,
}

/// Which token is sent to be revoked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RevokedToken {
    /// The access token.
    Access,
    /// The refresh token.
    #[default]
    Refresh,
}

/// What a provider takes back with a token.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RevokedScope {
    /// Everything the account granted to the client, other connections' tokens included. Nothing
    /// is revoked while another connection lives on the same account.
    Grant,
    /// This token and what came from it.
    #[default]
    Token,
}

/// How the account behind a token is found out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "by", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Identity {
    /// By token introspection (RFC 7662).
    Introspection {
        /// Where.
        url: Url,
        /// Where in the answer the account's id is, as a JSON pointer.
        account_id: String,
        /// Where its name for people is.
        label: Option<String>,
    },
    /// By the token's own answer.
    Token {
        /// Where in the answer the account's id is, as a JSON pointer.
        account_id: String,
        /// Where its name for people is.
        label: Option<String>,
    },
    /// By a request with the token.
    Userinfo {
        /// Where.
        url: Url,
        /// Where in the answer the account's id is, as a JSON pointer.
        account_id: String,
        /// Where its name for people is.
        label: Option<String>,
    },
}

impl Provider {
    /// A provider that follows the standards, with PKCE.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) if a URL is not `https` (or `http` on
    /// the loopback).
    pub fn new(
        key: ProviderKey,
        title: impl Into<String>,
        authorize_url: Url,
        token_url: Url,
    ) -> Result<Self, Error> {
        let provider = Self {
            key,
            title: title.into(),
            authorize_url,
            token_url,
            client_auth: ClientAuth::default(),
            pkce: Pkce::default(),
            issuer: None,
            issuer_check: IssuerCheck::default(),
            scope_separator: space(),
            default_scopes: Vec::new(),
            authorize_params: BTreeMap::new(),
            token_lifetime: None,
            token_at: None,
            revocation: None,
            identity: None,
        };
        provider.check()?;
        Ok(provider)
    }

    /// Says how the client proves itself.
    pub fn with_client_auth(mut self, auth: ClientAuth) -> Self {
        self.client_auth = auth;
        self
    }

    /// Says what `iss` must be in the callback, and whether it may be missing.
    pub fn with_issuer(mut self, issuer: impl Into<String>, check: IssuerCheck) -> Self {
        self.issuer = Some(issuer.into());
        self.issuer_check = check;
        self
    }

    /// Says what is asked for by default.
    pub fn with_default_scopes<S: Into<String>>(
        mut self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        self.default_scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a parameter that goes with the browser.
    pub fn with_authorize_param(mut self, name: &str, value: &str) -> Self {
        self.authorize_params
            .insert(name.to_owned(), value.to_owned());
        self
    }

    /// Says how tokens are revoked.
    pub fn with_revocation(mut self, revocation: Revocation) -> Self {
        self.revocation = Some(revocation);
        self
    }

    /// Says how the account is found out.
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }
}

impl Revocation {
    /// Standard revocation of the refresh token, by a client that proves itself.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            token: RevokedToken::default(),
            scope: RevokedScope::default(),
            client_auth: true,
        }
    }
}

impl Identity {
    /// A request with the token; `account_id` is a JSON pointer, such as `/sub`.
    pub fn userinfo(url: Url, account_id: impl Into<String>) -> Self {
        Self::Userinfo {
            url,
            account_id: account_id.into(),
            label: None,
        }
    }
}

fn unnamed() -> ProviderKey {
    ProviderKey::from_static("unnamed")
}

fn space() -> String {
    " ".to_owned()
}

fn yes() -> bool {
    true
}
