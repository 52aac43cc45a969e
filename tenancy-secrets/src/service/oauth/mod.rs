//! The OAuth broker.

mod account;
mod call;
mod callback;
mod client;
mod connect;
mod credential;
mod disconnect;
mod flight;
mod refresh;
mod renew;
mod revocations;
mod revoke;
mod start;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tenancy_core::{AuditSink, Authorizer, AuthorizerExt as _, TenantCtx, TenantDb};
use url::Url;

pub use client::OAuthClient;
use flight::Flights;
#[cfg(feature = "axum")]
pub(crate) use {callback::ACCESS_REFUSED, start::flow_of};

use super::{perm, vault::SecretVault};
use crate::{
    Catalog, Connection, ConnectionId, Error, OAuthHttp, Provider, ProviderCatalog, ProviderKey,
    ReqwestHttp,
    postgres::{PgConnections, PgStates},
};

/// How long the user may take at the provider.
const STATE_LIFETIME: Duration = Duration::from_mins(10);
/// How many connections one user may be making at once in a tenant.
const MAX_OPEN_STATES: i32 = 20;

/// Connects a tenant to accounts at OAuth providers, and keeps their tokens valid.
///
/// The tokens are sealed rows of the vault's table. [`start`](Self::start) sends a browser to the
/// provider, [`finish`](Self::finish) takes it back; as a
/// [`CredentialSource`](tenancy_core::CredentialSource) the broker gives out access tokens that are
/// valid now, and secrets of the vault for ids that are no connection's.
///
/// A clone costs one reference count.
#[derive(Clone)]
pub struct OAuthBroker(Arc<Inner>);

struct Inner {
    db: TenantDb,
    vault: SecretVault,
    connections: PgConnections,
    states: PgStates,
    catalog: Arc<dyn ProviderCatalog>,
    http: Arc<dyn OAuthHttp>,
    clients: BTreeMap<ProviderKey, OAuthClient>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    public_url: Url,
    return_paths: Vec<String>,
    flights: Flights,
}

/// Puts an [`OAuthBroker`] together.
#[must_use]
pub struct OAuthBrokerBuilder {
    db: TenantDb,
    vault: SecretVault,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    public_url: Url,
    catalog: Option<Arc<dyn ProviderCatalog>>,
    http: Option<Arc<dyn OAuthHttp>>,
    clients: BTreeMap<ProviderKey, OAuthClient>,
    return_paths: Vec<String>,
}

impl OAuthBroker {
    /// Begins to put a broker together. `public_url` is where browsers reach the host: the
    /// redirect URI of a provider is `{public_url}/api/oauth/{provider}/callback`.
    pub fn builder(
        db: TenantDb,
        vault: SecretVault,
        public_url: Url,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
    ) -> OAuthBrokerBuilder {
        OAuthBrokerBuilder {
            db,
            vault,
            authorizer,
            audit,
            public_url,
            catalog: None,
            http: None,
            clients: BTreeMap::new(),
            return_paths: Vec::new(),
        }
    }

    /// A page of the tenant's connections in the order they were made, at most 200, those that
    /// were disconnected included.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `oauth.read`.
    pub async fn list(
        &self,
        ctx: &TenantCtx,
        after: Option<ConnectionId>,
        limit: u16,
    ) -> Result<Vec<Connection>, Error> {
        self.0
            .authorizer
            .require(ctx, perm::OauthRead::get())
            .await?;
        self.0
            .connections
            .list(ctx, after, limit.clamp(1, 200))
            .await
    }

    /// A connection.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `oauth.read`;
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn get(&self, ctx: &TenantCtx, id: ConnectionId) -> Result<Connection, Error> {
        self.0
            .authorizer
            .require(ctx, perm::OauthRead::get())
            .await?;
        let found = self.0.connections.load(ctx, id).await?;
        found
            .map(|loaded| loaded.connection)
            .ok_or_else(unknown_connection)
    }

    /// Where browsers reach the host.
    pub fn public_url(&self) -> &Url {
        &self.0.public_url
    }

    /// The redirect URI to register at a provider.
    pub fn redirect_uri(&self, provider: &ProviderKey) -> Url {
        let mut url = self.0.public_url.clone();
        url.set_path(&format!("/api/oauth/{provider}/callback"));
        url
    }

    /// The provider and the host's client there.
    async fn provider(
        &self,
        ctx: &TenantCtx,
        key: &ProviderKey,
    ) -> Result<(Arc<Provider>, &OAuthClient), Error> {
        let provider = self.0.catalog.provider(ctx, key).await?.ok_or_else(|| {
            Error::not_found("provider_unknown", &format!("there is no provider `{key}`"))
        })?;
        let client = self.0.clients.get(key).ok_or_else(|| {
            let message = format!("the host has no client at the provider `{key}`");
            Error::misconfigured("client_missing", message)
        })?;
        Ok((provider, client))
    }
}

impl OAuthBrokerBuilder {
    /// Knows these providers, in place of those that ship.
    pub fn catalog(mut self, catalog: impl ProviderCatalog) -> Self {
        self.catalog = Some(Arc::new(catalog));
        self
    }

    /// Talks to providers by this, in place of [`ReqwestHttp`].
    pub fn http(mut self, http: impl OAuthHttp) -> Self {
        self.http = Some(Arc::new(http));
        self
    }

    /// Is known to a provider as this client.
    pub fn client(mut self, provider: ProviderKey, client: OAuthClient) -> Self {
        self.clients.insert(provider, client);
        self
    }

    /// Lets a flow end at this path of the host. The first one is where flows end that don't say;
    /// without any it is `/`.
    pub fn return_path(mut self, path: impl Into<String>) -> Self {
        self.return_paths.push(path.into());
        self
    }

    /// Builds the broker.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured): the public URL is not `https` (or
    /// `http` on the loopback), a return path is no plain path, or there is no TLS.
    pub fn build(mut self) -> Result<OAuthBroker, Error> {
        if self.public_url.scheme() != "https" && !crate::model::is_loopback(&self.public_url) {
            return Err(Error::misconfigured(
                "public_url_invalid",
                "the public URL must be https",
            ));
        }
        if let Some(bad) = self.return_paths.iter().find(|path| !is_plain_path(path)) {
            let message = format!("`{bad}` is no path of this host");
            return Err(Error::misconfigured("return_path_invalid", message));
        }
        if self.return_paths.is_empty() {
            self.return_paths.push("/".to_owned());
        }
        let catalog = match self.catalog {
            Some(catalog) => catalog,
            None => Arc::new(Catalog::built_in()?),
        };
        let http = match self.http {
            Some(http) => http,
            None => Arc::new(ReqwestHttp::new()?),
        };
        Ok(OAuthBroker(Arc::new(Inner {
            connections: PgConnections::new(self.db.clone(), self.audit.clone()),
            states: PgStates::new(self.db.clone()),
            db: self.db,
            vault: self.vault,
            catalog,
            http,
            clients: self.clients,
            authorizer: self.authorizer,
            audit: self.audit,
            public_url: self.public_url,
            return_paths: self.return_paths,
            flights: Flights::default(),
        })))
    }
}

/// A path that no browser takes for another host.
fn is_plain_path(path: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#';
    path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= 2_048
        && path.bytes().all(safe)
}

fn unknown_connection() -> Error {
    Error::not_found("connection_unknown", "there is no such connection")
}

impl fmt::Debug for OAuthBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthBroker")
            .field("public_url", &self.0.public_url.as_str())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OAuthBrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthBrokerBuilder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain_path;

    #[test]
    fn a_return_path_can_not_leave_the_host() {
        assert!(is_plain_path("/settings/integrations?tab=mail"));
        for bad in [
            "",
            "settings",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a b",
            "/a\r\nb",
        ] {
            assert!(!is_plain_path(bad), "{bad}");
        }
    }
}
