//! Disconnecting.

use std::time::{Duration, Instant};

use tenancy_core::{AuthorizerExt as _, Event, Outcome, TenantCtx};

use super::{OAuthBroker, call::Caller, perm, unknown_connection};
use crate::{
    Binding, ConnectionId, ConnectionStatus, DisconnectOutcome, Error, FieldKey, RevokedToken,
    postgres::{Loaded, Token},
};

/// How long a refresh that is running is waited for; longer than a request may take.
const PATIENCE: Duration = Duration::from_secs(25);

impl OAuthBroker {
    /// Takes the tokens back at the provider and wipes them here.
    ///
    /// The tokens are wiped whatever the provider says. Nothing is revoked where that would end
    /// another connection of the same account. Disconnecting twice changes nothing.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `oauth.connect`;
    /// [`NotFound`](crate::ErrorKind::NotFound).
    #[tracing::instrument(level = "debug", skip_all, fields(tenant = %ctx.tenant(), connection = %id))]
    pub async fn disconnect(
        &self,
        ctx: &TenantCtx,
        id: ConnectionId,
    ) -> Result<DisconnectOutcome, Error> {
        self.0
            .authorizer
            .require(ctx, perm::OauthConnect::get())
            .await?;
        let known = self
            .0
            .connections
            .load(ctx, id)
            .await?
            .ok_or_else(unknown_connection)?;
        if known.connection.status == ConnectionStatus::Disconnected {
            return Ok(DisconnectOutcome::Unsupported);
        }
        self.stop_refreshing(ctx, id).await?;
        // Loaded anew: a refresh may have replaced the tokens just before.
        let loaded = self
            .0
            .connections
            .load(ctx, id)
            .await?
            .ok_or_else(unknown_connection)?;
        let outcome = self.revoke(ctx, &loaded).await?;
        let failed = outcome == DisconnectOutcome::RevocationFailed;
        let event = Event::new("oauth.disconnected")
            .outcome(if failed {
                Outcome::Error
            } else {
                Outcome::Allowed
            })
            .target("oauth_connection", id)
            .meta("provider", loaded.connection.provider.as_str())
            .meta("revocation", outcome.as_str());
        self.0
            .connections
            .disconnected(ctx, &loaded.connection, outcome.as_str(), event)
            .await?;
        Ok(outcome)
    }

    /// Disconnects a connection of this provider; one of another provider is not found.
    #[cfg(feature = "axum")]
    pub(crate) async fn disconnect_of(
        &self,
        ctx: &TenantCtx,
        provider: &crate::ProviderKey,
        id: ConnectionId,
    ) -> Result<DisconnectOutcome, Error> {
        self.0
            .authorizer
            .require(ctx, perm::OauthConnect::get())
            .await?;
        let known = self.0.connections.load(ctx, id).await?;
        known
            .filter(|loaded| loaded.connection.provider == *provider)
            .ok_or_else(unknown_connection)?;
        self.disconnect(ctx, id).await
    }

    async fn stop_refreshing(&self, ctx: &TenantCtx, id: ConnectionId) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !self
            .0
            .connections
            .disconnecting(ctx, id, Instant::now() > deadline)
            .await?
        {
            if Instant::now() > deadline {
                // Somebody else has just finished disconnecting it.
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn revoke(&self, ctx: &TenantCtx, loaded: &Loaded) -> Result<DisconnectOutcome, Error> {
        // A provider that the host no longer knows can't be asked; the tokens go all the same.
        let Ok((provider, client)) = self.provider(ctx, &loaded.connection.provider).await else {
            return Ok(DisconnectOutcome::Unsupported);
        };
        let caller = Caller {
            http: &*self.0.http,
            provider: &provider,
            client,
        };
        let (first, second) = (
            (&loaded.refresh, "refresh_token"),
            (&loaded.access, "access_token"),
        );
        let order = match provider
            .revocation
            .as_ref()
            .map(|revocation| revocation.token)
        {
            None => return Ok(DisconnectOutcome::Unsupported),
            Some(RevokedToken::Access) => [second, first],
            Some(RevokedToken::Refresh) => [first, second],
        };
        let found = order
            .into_iter()
            .find_map(|(token, hint)| Some((token.as_ref()?, hint)));
        let Some((token, hint)) = found else {
            return Ok(DisconnectOutcome::Unsupported);
        };
        if caller.revokes_grants()
            && self
                .0
                .connections
                .is_shared(ctx, loaded.connection.id)
                .await?
        {
            return Ok(DisconnectOutcome::SharedGrant);
        }
        let revoked = match self.open_token(ctx, loaded, token, hint).await {
            Ok(token) => caller.revoke(&token, hint).await,
            Err(_) => false,
        };
        Ok(if revoked {
            DisconnectOutcome::Revoked
        } else {
            DisconnectOutcome::RevocationFailed
        })
    }

    pub(super) async fn open_token(
        &self,
        ctx: &TenantCtx,
        loaded: &Loaded,
        token: &Token,
        field: &str,
    ) -> Result<tenancy_core::SecretText, Error> {
        let provider = loaded.connection.provider.clone();
        let field = FieldKey::parse(field)?;
        let binding = Binding::new(
            ctx.tenant(),
            provider,
            token.id.as_uuid(),
            field,
            token.version,
        );
        self.0
            .vault
            .sealer()
            .open(ctx, &binding, &token.envelope)
            .await
    }
}
