//! Disconnecting.

use std::time::{Duration, Instant};

use tenancy_core::{AuthorizerExt as _, Event, SecretText, TenantCtx};
use uuid::Uuid;

use super::{OAuthBroker, perm, revocations::LEASE, unknown_connection};
use crate::{
    Binding, Connection, ConnectionId, ConnectionStatus, DisconnectOutcome, Error, ErrorKind,
    FieldKey, RevokedToken,
    postgres::{Ended, Loaded, Token},
};

/// How long a refresh that is running is waited for; longer than a request may take.
const PATIENCE: Duration = Duration::from_secs(25);

impl OAuthBroker {
    /// Ends a connection and takes its tokens back at the provider.
    ///
    /// The connection ends here in one transaction, whatever the provider says: its tokens are
    /// wiped but for the one that the provider needs to see, which no connection has any more and
    /// which stays sealed until it was taken back. Where the provider does not answer,
    /// [`sweep_revocations`](Self::sweep_revocations) asks it again. Nothing is revoked where that
    /// would end another connection of the same account. Disconnecting twice changes nothing.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `oauth.connect`;
    /// [`NotFound`](ErrorKind::NotFound).
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
        let known = self.0.connections.load(ctx, id).await?;
        let connection = known.ok_or_else(unknown_connection)?.connection;
        if connection.status == ConnectionStatus::Disconnected {
            return Ok(DisconnectOutcome::Unsupported);
        }
        let Some(revocation) = self.end(ctx, &connection).await? else {
            return Ok(DisconnectOutcome::Unsupported);
        };
        // From here on the connection has ended, and a sweep takes over what fails.
        let revoked = self.revoke_pending(ctx, revocation).await;
        Ok(revoked.unwrap_or_else(|error| {
            tracing::warn!(tenant = %ctx.tenant(), %error, "a token is not taken back yet");
            DisconnectOutcome::RevocationPending
        }))
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

    /// Ends the connection here, after a refresh that is running; the token to be taken back.
    async fn end(&self, ctx: &TenantCtx, connection: &Connection) -> Result<Option<Uuid>, Error> {
        let fields = self.revocable(ctx, connection).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let how = (Instant::now() > deadline, LEASE);
            let event = Event::new("oauth.disconnected")
                .target("oauth_connection", connection.id)
                .meta("provider", connection.provider.as_str());
            let ended = self.0.connections.end(ctx, connection, fields, how, event);
            match ended.await? {
                Ended::Already => return Ok(None),
                Ended::Busy => {
                    let now = self.0.connections.load(ctx, connection.id).await?;
                    let status = now.map(|loaded| loaded.connection.status);
                    if status != Some(ConnectionStatus::Connected) {
                        return Ok(None);
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Ended::Now(revocation) => return Ok(revocation),
            }
        }
    }

    /// Which token the provider takes back, the better one first; none where it takes back none,
    /// or where the host knows it no longer.
    async fn revocable(
        &self,
        ctx: &TenantCtx,
        connection: &Connection,
    ) -> Result<&'static [&'static str], Error> {
        let provider = match self.provider(ctx, &connection.provider).await {
            Ok((provider, _)) => provider,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Misconfigured) =>
            {
                return Ok(&[]);
            }
            Err(error) => return Err(error),
        };
        let revocation = provider.revocation.as_ref();
        Ok(match revocation.map(|revocation| revocation.token) {
            None => &[],
            Some(RevokedToken::Access) => &["access_token", "refresh_token"],
            Some(RevokedToken::Refresh) => &["refresh_token", "access_token"],
        })
    }

    pub(super) async fn open_token(
        &self,
        ctx: &TenantCtx,
        loaded: &Loaded,
        token: &Token,
        field: &str,
    ) -> Result<SecretText, Error> {
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
