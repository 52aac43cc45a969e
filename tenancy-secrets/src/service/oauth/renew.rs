//! Who refreshes, and who waits.

use std::time::{Duration, Instant};

use tenancy_core::{Credential, Retry, TenantCtx};

use super::{
    OAuthBroker,
    credential::{Need, Verdict, judge},
    flight::Seat,
    unknown_connection,
};
use crate::{
    ConnectionId, Error, ErrorKind,
    postgres::{Claim, Loaded},
};

/// How long a claim holds. A request ends after 20 s, so whoever has the lease is alone.
pub(super) const LEASE: Duration = Duration::from_mins(1);
/// How long a caller waits for somebody else's refresh.
const PATIENCE: Duration = Duration::from_secs(30);

impl OAuthBroker {
    /// Replaces the tokens, or waits for whoever is replacing them.
    pub(super) async fn renew(
        &self,
        ctx: &TenantCtx,
        id: ConnectionId,
        need: Need,
        seen: i64,
    ) -> Result<Credential, Error> {
        let seat = self.0.flights.enter((ctx.tenant(), id)).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let loaded = self
                .0
                .connections
                .load(ctx, id)
                .await?
                .ok_or_else(unknown_connection)?;
            let verdict = judge(&loaded, need)?;
            // Whatever was made since this caller first looked was just refreshed.
            if verdict != Verdict::Renew || loaded.connection.generation > seen {
                return self.open_access(ctx, loaded).await;
            }
            if let Some(wait) = loaded.retry_in.filter(|wait| *wait > 0.0) {
                return self.not_yet(ctx, loaded, need, wait).await;
            }
            let generation = loaded.connection.generation;
            if let Some(claim) = self.0.connections.claim(ctx, id, generation, LEASE).await? {
                return self.refresh_to_the_end(ctx, loaded, claim, seat).await;
            }
            if Instant::now() > deadline {
                let message = "another process is refreshing the token";
                return Err(Error::new(ErrorKind::Unavailable, "refresh_busy", message));
            }
            tokio::time::sleep(pause()).await;
        }
    }

    /// Renews ahead of time, without anybody waiting.
    pub(super) fn renew_behind(&self, ctx: &TenantCtx, loaded: &Loaded) {
        if loaded.retry_in.is_some_and(|wait| wait > 0.0) {
            return;
        }
        let (connection, generation) = (loaded.connection.id, loaded.connection.generation);
        let Some(seat) = self.0.flights.try_enter((ctx.tenant(), connection)) else {
            return;
        };
        let (broker, ctx) = (self.clone(), ctx.clone());
        tokio::spawn(async move {
            let renewed = async {
                let Some(claim) = broker
                    .0
                    .connections
                    .claim(&ctx, connection, generation, LEASE)
                    .await?
                else {
                    return Ok(());
                };
                let loaded = broker.0.connections.load(&ctx, connection).await?;
                let loaded = loaded.ok_or_else(unknown_connection)?;
                broker
                    .refresh_to_the_end(&ctx, loaded, claim, seat)
                    .await
                    .map(drop)
            };
            if let Err(error) = renewed.await {
                tracing::info!(tenant = %ctx.tenant(), %connection, %error, "a token was not renewed ahead of time");
            }
        });
    }

    /// After a failure, until the next try: what lives is still good.
    async fn not_yet(
        &self,
        ctx: &TenantCtx,
        loaded: Loaded,
        need: Need,
        wait: f64,
    ) -> Result<Credential, Error> {
        let alive = loaded.expires_in.is_none_or(|left| left > 5.0);
        if alive && matches!(need, Need::Alive) {
            return self.open_access(ctx, loaded).await;
        }
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(LEASE);
        let message = "the provider could not be asked for a new token";
        let error = Error::new(ErrorKind::Unavailable, "refresh_failed", message);
        Err(error.with_retry(Retry::After(wait)))
    }

    /// Refreshes in a task of its own: a caller who goes away does not lose the tokens.
    async fn refresh_to_the_end(
        &self,
        ctx: &TenantCtx,
        loaded: Loaded,
        claim: Claim,
        seat: Seat,
    ) -> Result<Credential, Error> {
        let (broker, ctx) = (self.clone(), ctx.clone());
        let task = tokio::spawn(async move {
            let refreshed = broker.refresh(&ctx, loaded, claim).await;
            drop(seat);
            refreshed
        });
        task.await.unwrap_or_else(|_| {
            let message = "the runtime is shutting down";
            Err(Error::new(
                ErrorKind::Unavailable,
                "runtime_stopping",
                message,
            ))
        })
    }
}

/// 50 to 150 ms, so that those who wait don't ask in step.
pub(super) fn pause() -> Duration {
    let jitter = crate::model::random::<1>().map_or(50, |[byte]| u64::from(byte) * 100 / 255);
    Duration::from_millis(50 + jitter)
}
