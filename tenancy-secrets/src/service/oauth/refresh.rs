//! Replacing tokens, once.

use std::{sync::Arc, time::Instant};

use tenancy_core::{Credential, Event, Outcome, SecretText, TenantCtx};

use super::{
    OAuthBroker,
    call::{Caller, Grant},
    credential::needs_reauth,
    renew::{LEASE, pause},
    unknown_connection,
};
use crate::{
    Binding, ConnectionId, ConnectionStatus, Error, ErrorKind, FieldKey, Provider, Written,
    model::{TokenFailure, Tokens},
    postgres::{Claim, Loaded, Refreshed, Token},
};

/// Least and most seconds between two tries that fail.
const BACK_OFF: (f64, f64) = (2.0, 300.0);

impl OAuthBroker {
    pub(super) async fn refresh(
        &self,
        ctx: &TenantCtx,
        loaded: Loaded,
        claim: Claim,
    ) -> Result<Credential, Error> {
        let began = Instant::now();
        let id = loaded.connection.id;
        let prepared = self.prepare(ctx, &loaded).await;
        let (provider, token) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                self.0
                    .connections
                    .release(ctx, id, claim, false, error.code(), BACK_OFF)
                    .await?;
                return Err(error);
            }
        };
        let (_, client) = self.provider(ctx, &provider.key).await?;
        let caller = Caller {
            http: &*self.0.http,
            provider: &provider,
            client,
        };
        let outcome = caller.tokens(Grant::Refresh(&token)).await;
        let label = outcome
            .as_ref()
            .map_or_else(|failure| failure.as_str(), |_| "refreshed");
        metrics::counter!("tenancy_oauth_refreshes_total", "outcome" => label).increment(1);
        match outcome {
            Ok(tokens) => {
                self.commit(ctx, &loaded, claim, &caller, tokens, began + LEASE)
                    .await?;
                let now = self
                    .0
                    .connections
                    .load(ctx, id)
                    .await?
                    .ok_or_else(unknown_connection)?;
                self.open_access(ctx, now).await
            }
            Err(TokenFailure::Grant) => Err(self.dead(ctx, &loaded, claim).await?),
            Err(failure) => Err(self.failed(ctx, &loaded, claim, failure).await?),
        }
    }

    async fn prepare(
        &self,
        ctx: &TenantCtx,
        loaded: &Loaded,
    ) -> Result<(Arc<Provider>, SecretText), Error> {
        let (provider, _) = self.provider(ctx, &loaded.connection.provider).await?;
        let sealed = loaded.refresh.as_ref().ok_or_else(needs_reauth)?;
        let token = self
            .open_token(ctx, loaded, sealed, "refresh_token")
            .await?;
        Ok((provider, token))
    }

    /// Stores the new tokens. Between the provider's answer and this commit lies the only moment
    /// in which a crash can lose a rotated token, so it is tried until the lease ends.
    async fn commit(
        &self,
        ctx: &TenantCtx,
        loaded: &Loaded,
        claim: Claim,
        caller: &Caller<'_>,
        tokens: Tokens,
        lease_end: Instant,
    ) -> Result<(), Error> {
        let id = loaded.connection.id;
        let troubled = claim.open_attempts > 1 || loaded.connection.status_reason.is_some();
        let event = troubled.then(|| event("oauth.refresh_recovered", loaded));
        loop {
            let committed = async {
                let new = self.sealed_refresh(ctx, loaded, &tokens).await?;
                self.0
                    .connections
                    .commit(ctx, id, claim, &new, event.clone())
                    .await
            };
            match committed.await {
                Ok(Written::Done) => return Ok(()),
                Ok(Written::KeyRetired) => self.0.vault.sealer().key_retired(ctx.tenant()),
                Ok(Written::Stale) => {
                    self.discard(ctx, id, caller, &tokens).await?;
                    let message = "the connection was changed during the refresh";
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "refresh_overtaken",
                        message,
                    ));
                }
                Err(error) if error.retry().is_retryable() && Instant::now() < lease_end => {
                    tracing::warn!(tenant = %ctx.tenant(), connection = %id, %error, "refreshed tokens are not stored yet");
                    tokio::time::sleep(pause()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tokens that came too late. They are taken back where the connection is gone; where it was
    /// only passed by another refresh they may be that one's own.
    async fn discard(
        &self,
        ctx: &TenantCtx,
        id: ConnectionId,
        caller: &Caller<'_>,
        tokens: &Tokens,
    ) -> Result<(), Error> {
        let now = self.0.connections.load(ctx, id).await?;
        let status = now.map(|loaded| loaded.connection.status);
        if status == Some(ConnectionStatus::Disconnected) {
            caller.revoke_unused(tokens).await;
        }
        Ok(())
    }

    async fn sealed_refresh(
        &self,
        ctx: &TenantCtx,
        loaded: &Loaded,
        tokens: &Tokens,
    ) -> Result<Refreshed, Error> {
        let access = loaded.access.as_ref().ok_or_else(needs_reauth)?;
        let access = self
            .next(ctx, loaded, access, "access_token", &tokens.access)
            .await?;
        let refresh = match (&loaded.refresh, &tokens.refresh) {
            (Some(old), Some(new)) => {
                Some(self.next(ctx, loaded, old, "refresh_token", new).await?)
            }
            _ => None,
        };
        let key = access.envelope.key();
        if refresh
            .as_ref()
            .is_some_and(|token| token.envelope.key() != key)
        {
            // The key was changed between the two: seal both again.
            return Err(Error::new(
                ErrorKind::Unavailable,
                "key_busy",
                "the tenant's key is being changed",
            ));
        }
        Ok(Refreshed {
            key,
            expires_in: tokens.expires_in,
            granted: tokens.scopes.clone(),
            access,
            refresh,
        })
    }

    async fn next(
        &self,
        ctx: &TenantCtx,
        loaded: &Loaded,
        old: &Token,
        field: &str,
        value: &SecretText,
    ) -> Result<Token, Error> {
        let (provider, version) = (loaded.connection.provider.clone(), old.version + 1);
        let field = FieldKey::parse(field)?;
        let binding = Binding::new(ctx.tenant(), provider, old.id.as_uuid(), field, version);
        let envelope = self.0.vault.sealer().seal(ctx, &binding, value).await?;
        Ok(Token {
            id: old.id,
            version,
            envelope,
        })
    }

    /// The provider says that the grant is dead. After an attempt without an outcome that means
    /// that the token it rotated then was lost.
    async fn dead(&self, ctx: &TenantCtx, loaded: &Loaded, claim: Claim) -> Result<Error, Error> {
        let reason = if claim.open_attempts > 1 {
            "lost_rotation"
        } else {
            "invalid_grant"
        };
        let event = event("oauth.needs_reauth", loaded)
            .outcome(Outcome::Error)
            .meta("reason", reason);
        self.0
            .connections
            .needs_reauth(ctx, loaded.connection.id, claim, reason, event)
            .await?;
        Ok(needs_reauth())
    }

    /// Anything else leaves the grant alone.
    async fn failed(
        &self,
        ctx: &TenantCtx,
        loaded: &Loaded,
        claim: Claim,
        failure: TokenFailure,
    ) -> Result<Error, Error> {
        let unknown = failure == TokenFailure::Unknown;
        let wait = match failure {
            TokenFailure::Busy(Some(seconds)) => {
                let least = f64::from(u32::try_from(seconds).unwrap_or(u32::MAX))
                    .clamp(BACK_OFF.0, 3_600.0);
                (least, least.max(BACK_OFF.1))
            }
            _ => BACK_OFF,
        };
        let (id, reason) = (loaded.connection.id, failure.as_str());
        self.0
            .connections
            .release(ctx, id, claim, unknown, reason, wait)
            .await?;
        if loaded.connection.status_reason.is_none() {
            let event = event("oauth.refresh_failed", loaded).outcome(Outcome::Error);
            self.record(ctx, event.meta("reason", reason)).await;
        }
        let message = format!("the provider gave no new token (`{reason}`)");
        Ok(match failure {
            TokenFailure::Client(_) => Error::misconfigured("client_refused", message),
            _ => Error::new(ErrorKind::Unavailable, "refresh_failed", message),
        })
    }
}

fn event(action: &str, loaded: &Loaded) -> Event {
    Event::new(action)
        .target("oauth_connection", loaded.connection.id)
        .meta("provider", loaded.connection.provider.as_str())
}
