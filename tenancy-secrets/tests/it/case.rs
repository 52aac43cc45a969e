//! A connected account at a provider that says what the test says.

use std::sync::Arc;

use serde_json::json;
use tenancy_core::{CredentialSource as _, SecretText, TenantCtx, testing::FakeAuthorizer};
use tenancy_secrets::{
    Catalog, ConnectionId, ConnectionStatus, FinishRequest, Identity, OAuthBroker, OAuthClient,
    OAuthHttp, Provider, ProviderKey, Revocation, StartOptions, Started, testing::ScriptedHttp,
};

use crate::support::{Result, World};

pub(crate) const ACME: ProviderKey = ProviderKey::from_static("acme");

pub(crate) fn provider() -> Provider {
    let url = |path: &str| format!("https://acme.example/{path}").parse().unwrap();
    Provider::new(ACME, "Acme", url("authorize"), url("token"))
        .unwrap()
        .with_default_scopes(["leads.read"])
        .with_identity(Identity::userinfo(url("me"), "/sub"))
        .with_revocation(Revocation::new(url("revoke")))
}

pub(crate) fn broker(
    world: &World,
    http: impl OAuthHttp,
    provider: Provider,
) -> Result<OAuthBroker> {
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let audit = Arc::new(world.audit.clone());
    let public = "https://app.example".parse()?;
    let vault = world.another_vault()?;
    Ok(
        OAuthBroker::builder(world.db.app.clone(), vault, public, authorizer, audit)
            .catalog(Catalog::empty().with_provider(provider)?)
            .client(
                ACME,
                OAuthClient::new("client", SecretText::new("client-secret")),
            )
            .http(http)
            .build()?,
    )
}

/// Connects an account whose tokens are `access-1` and `refresh-1`.
pub(crate) async fn connect(
    http: &ScriptedHttp,
    broker: &OAuthBroker,
    ctx: &TenantCtx,
) -> Result<ConnectionId> {
    http.answer(200, json!({"access_token": "access-1", "refresh_token": "refresh-1", "token_type": "bearer", "expires_in": 3600}));
    http.answer(200, json!({"sub": "account"}));
    let started = broker.start(ctx, &ACME, &StartOptions::default()).await?;
    Ok(broker.finish(callback(ctx, started)?).await?.connection)
}

/// The callback of a flow that went well.
pub(crate) fn callback(ctx: &TenantCtx, started: Started) -> Result<FinishRequest> {
    let mut parameters = started.authorize_url.query_pairs();
    let state = parameters.find(|(name, _)| name == "state");
    let state = SecretText::new(state.ok_or("no state")?.1);
    let user = ctx.user().ok_or("no user")?;
    Ok(FinishRequest::new(ACME, user, state)
        .with_browser_secret(started.browser_secret)
        .with_code(SecretText::new("code")))
}

pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) http: ScriptedHttp,
    pub(crate) broker: OAuthBroker,
    pub(crate) id: ConnectionId,
}

impl Case {
    pub(crate) async fn new() -> Result<Self> {
        Self::with(provider()).await
    }

    pub(crate) async fn with(provider: Provider) -> Result<Self> {
        let (world, http) = (Box::pin(World::new()).await?, ScriptedHttp::new());
        let broker = broker(&world, http.clone(), provider)?;
        let id = connect(&http, &broker, &world.a).await?;
        Ok(Self {
            world,
            http,
            broker,
            id,
        })
    }

    /// A newer token than the first one.
    pub(crate) async fn renew(&self) -> std::result::Result<String, tenancy_core::Error> {
        let renewed = self
            .broker
            .renewed(&self.world.a, self.id.into(), 1)
            .await?;
        Ok(renewed.secret.expose().to_owned())
    }

    pub(crate) async fn current(&self) -> std::result::Result<String, tenancy_core::Error> {
        let current = self
            .broker
            .credential(&self.world.a, self.id.into())
            .await?;
        Ok(current.secret.expose().to_owned())
    }

    pub(crate) async fn status(&self) -> Result<(ConnectionStatus, Option<String>)> {
        let connection = self.broker.get(&self.world.a, self.id).await?;
        Ok((connection.status, connection.status_reason))
    }

    /// As the clock would have it later.
    pub(crate) async fn set(&self, change: &'static str) -> Result {
        let sql = sqlx::AssertSqlSafe(format!("UPDATE tenancy.oauth_connections SET {change}"));
        sqlx::query(sql)
            .execute(&self.world.db.superuser().await?)
            .await?;
        Ok(())
    }

    /// Calls beyond those that connected it.
    pub(crate) fn calls(&self) -> usize {
        self.http.asked().len() - 2
    }
}

pub(crate) fn tokens(number: u32) -> serde_json::Value {
    json!({"access_token": format!("access-{number}"), "refresh_token": format!("refresh-{number}"), "token_type": "bearer", "expires_in": "3600"})
}
