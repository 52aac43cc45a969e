//! The authorization server from npm, and a browser for it.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
};

use reqwest::{Client, header, redirect::Policy};
use tenancy_core::{CredentialSource as _, SecretText, TenantCtx, testing::FakeAuthorizer};
use tenancy_devdb::Node;
use tenancy_secrets::{
    Catalog, ClientAuth, ConnectionId, FinishRequest, Finished, Identity, IssuerCheck, OAuthBroker,
    OAuthClient, Provider, ProviderKey, Revocation, SecretVault, StartOptions, Started,
};
use url::Url;

use crate::support::{Result, World};

pub(crate) const ACME: ProviderKey = ProviderKey::from_static("acme");

/// A running `oidc-provider`; killed when it is dropped.
pub(crate) struct Peer {
    pub(crate) url: Url,
    child: Child,
}

impl Peer {
    /// `None` only where `TENANCY_SKIP_PEERS=1` says that there is none.
    pub(crate) async fn start(delay_ms: u32) -> Result<Option<Self>> {
        if std::env::var("TENANCY_SKIP_PEERS").as_deref() == Ok("1") {
            eprintln!("skipped: TENANCY_SKIP_PEERS=1");
            return Ok(None);
        }
        let node = Node::ensure().await?;
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/oidc");
        let dir = node.npm_ci(dir).await?;
        let mut child = node
            .command()
            .arg("server.mjs")
            .current_dir(dir)
            .env("TOKEN_DELAY_MS", delay_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        Ok(Some(Self {
            url: line.trim().parse()?,
            child,
        }))
    }

    /// How often something happened, by the server's own count.
    pub(crate) async fn count(&self, what: &str) -> Result<u64> {
        let text = reqwest::get(self.url.join("/stats")?).await?.text().await?;
        let counts: serde_json::Value = serde_json::from_str(&text)?;
        Ok(counts[what].as_u64().ok_or("no such count")?)
    }

    /// Whether an access token is good, by the server's own word.
    pub(crate) async fn knows(&self, token: &SecretText) -> Result<bool> {
        let request = Client::new()
            .get(self.url.join("/me")?)
            .bearer_auth(token.expose());
        Ok(request.send().await?.status() == 200)
    }

    pub(crate) fn provider(&self) -> Result<Provider> {
        provider(&self.url)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn provider(issuer: &Url) -> Result<Provider> {
    let at = |path: &str| issuer.join(path);
    let name = issuer.as_str().trim_end_matches('/');
    Ok(Provider::new(ACME, "Acme", at("/auth")?, at("/token")?)?
        .with_client_auth(ClientAuth::Basic)
        .with_issuer(name, IssuerCheck::Required)
        .with_default_scopes(["openid", "offline_access"])
        .with_authorize_param("prompt", "consent")
        .with_revocation(Revocation::new(at("/token/revocation")?))
        .with_identity(Identity::userinfo(at("/me")?, "/sub")))
}

/// A broker of the host, for the server at `issuer`.
pub(crate) fn broker(world: &World, provider: Provider) -> Result<OAuthBroker> {
    broker_of(world.db.app.clone(), world.vault.clone(), world, provider)
}

fn broker_of(
    db: tenancy_core::TenantDb,
    vault: SecretVault,
    world: &World,
    provider: Provider,
) -> Result<OAuthBroker> {
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    build(
        db,
        vault,
        authorizer,
        Arc::new(world.audit.clone()),
        provider,
    )
}

/// The broker as a child process has it.
pub(crate) fn child_broker(
    db: tenancy_core::TenantDb,
    vault: SecretVault,
    issuer: &str,
) -> Result<OAuthBroker> {
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let audit = Arc::new(tenancy_core::testing::MemoryAudit::new());
    build(db, vault, authorizer, audit, provider(&issuer.parse()?)?)
}

fn build(
    db: tenancy_core::TenantDb,
    vault: SecretVault,
    authorizer: Arc<FakeAuthorizer>,
    audit: Arc<tenancy_core::testing::MemoryAudit>,
    provider: Provider,
) -> Result<OAuthBroker> {
    let client = OAuthClient::new("tenancy", SecretText::new("peer-client-secret"));
    let public = "http://127.0.0.1:8080".parse()?;
    Ok(OAuthBroker::builder(db, vault, public, authorizer, audit)
        .catalog(Catalog::built_in()?.with_provider(provider)?)
        .client(ACME, client)
        .return_path("/settings")
        .return_path("/welcome")
        .build()?)
}

/// What a provider sends back with the browser.
pub(crate) struct Callback(BTreeMap<String, String>);

impl Callback {
    pub(crate) fn of(url: &Url) -> Self {
        Self(url.query_pairs().into_owned().collect())
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        Ok(self.0.get(name).ok_or("the callback lacks a parameter")?)
    }

    /// The request a well-behaved browser makes of it.
    pub(crate) fn request(&self, ctx: &TenantCtx, started: &Started) -> Result<FinishRequest> {
        let user = ctx.user().ok_or("no user")?;
        Ok(
            FinishRequest::new(ACME, user, SecretText::new(self.text("state")?))
                .with_browser_secret(SecretText::new(started.browser_secret.expose()))
                .with_code(SecretText::new(self.text("code")?))
                .with_issuer(self.text("iss")?),
        )
    }
}

/// A browser that logs in as somebody and consents to everything.
pub(crate) async fn browse(start: &Url, login: &str) -> Result<Callback> {
    let client = Client::builder().redirect(Policy::none()).build()?;
    let mut cookies = BTreeMap::new();
    let mut request = client.get(start.clone());
    let mut here = start.clone();
    for _ in 0..20 {
        let jar: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let response = request
            .header(header::COOKIE, jar.join("; "))
            .send()
            .await?;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').ok_or("a cookie without a value")?;
            cookies.insert(name.to_owned(), value.to_owned());
        }
        if let Some(location) = response.headers().get(header::LOCATION) {
            here = here.join(location.to_str()?)?;
            if here.path().starts_with("/api/oauth/") {
                return Ok(Callback::of(&here));
            }
            request = client.get(here.clone());
            continue;
        }
        let page = response.text().await?;
        let action =
            between(&page, "action=\"", "\"").ok_or_else(|| format!("no form in: {page}"))?;
        let prompt = between(&page, "name=\"prompt\" value=\"", "\"").ok_or("no prompt")?;
        here = here.join(action)?;
        let form = [("prompt", prompt), ("login", login), ("password", "any")];
        request = client.post(here.clone()).form(&form);
    }
    Err("the server sends the browser round and round".into())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?
        .1
        .split_once(after)
        .map(|(found, _)| found)
}

/// The whole dance.
pub(crate) async fn connect(
    broker: &OAuthBroker,
    ctx: &TenantCtx,
    login: &str,
    options: &StartOptions,
) -> Result<Finished> {
    let started = broker.start(ctx, &ACME, options).await?;
    let callback = browse(&started.authorize_url, login).await?;
    Ok(broker.finish(callback.request(ctx, &started)?).await?)
}

/// The access token that is valid now.
pub(crate) async fn token(
    broker: &OAuthBroker,
    ctx: &TenantCtx,
    id: ConnectionId,
) -> Result<(SecretText, i64)> {
    let credential = broker.credential(ctx, id.into()).await?;
    Ok((credential.secret, credential.generation))
}
