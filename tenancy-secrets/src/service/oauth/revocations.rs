//! Taking tokens back for as long as it takes, within bounds.

use std::time::{Duration, Instant};

use tenancy_core::{ErrorKind as CoreKind, Event, Outcome, ServiceKey, TenantCtx, WorkerDb};
use uuid::Uuid;

use super::{OAuthBroker, call::Caller};
use crate::{
    DisconnectOutcome, Error, ErrorKind, RevocationSweep,
    postgres::{PendingRevocation, due_revocations},
};

/// How long whoever tries is left alone; longer than a request may take.
pub(super) const LEASE: Duration = Duration::from_mins(2);
/// How often it is tried, and for how many seconds at most: with the waits in between the first
/// is a little more than a day, and the second counts where nobody sweeps.
const ATTEMPTS: u32 = 13;
const LONGEST: f64 = 7.0 * 86_400.0;
/// Most of one sweep.
const PAGE: u16 = 200;

impl OAuthBroker {
    /// Asks providers again to take back the tokens of connections that have ended, of all tenants,
    /// at most 200 at a time. Call it by the clock, every minute or so, in any process that has a
    /// worker's login; any number may do so at once.
    ///
    /// A token is tried 13 times, a minute after the first and six hours apart in the end, and for a
    /// week at most; then it is wiped and `oauth.revocation_ended` says `revocation_failed`. What belongs
    /// to a tenant that is blocked waits until it can be entered again.
    ///
    /// # Errors
    /// Only where the list can't be read; a tenant's own failure is counted and left to the next sweep.
    pub async fn sweep_revocations(&self, worker: &WorkerDb) -> Result<RevocationSweep, Error> {
        let until = Instant::now() + LEASE / 2;
        let mut sweep = RevocationSweep::default();
        for (tenant, id) in due_revocations(worker, PAGE, LEASE).await? {
            if Instant::now() > until {
                // What is left is given out again when its lease is over.
                break;
            }
            let service = ServiceKey::from_static("oauth_broker");
            let tried = match self.0.db.enter_system(tenant, service, Vec::new()).await {
                Ok(ctx) => self.revoke_pending(&ctx, id).await,
                Err(error) if error.kind() == CoreKind::Suspended => {
                    Ok(DisconnectOutcome::RevocationPending)
                }
                Err(error) => Err(error.into()),
            };
            match tried {
                Ok(DisconnectOutcome::RevocationPending) => sweep.pending += 1,
                Ok(DisconnectOutcome::RevocationFailed) => sweep.failed += 1,
                Ok(_) => sweep.ended += 1,
                Err(error) => {
                    tracing::warn!(%tenant, %error, "a token could not be taken back");
                    sweep.pending += 1;
                }
            }
        }
        Ok(sweep)
    }

    /// One try to take a token back.
    pub(super) async fn revoke_pending(
        &self,
        ctx: &TenantCtx,
        id: Uuid,
    ) -> Result<DisconnectOutcome, Error> {
        let Some(pending) = self.0.connections.revocation(ctx, id).await? else {
            // Somebody else was faster.
            return Ok(DisconnectOutcome::Revoked);
        };
        let mut outcome = self.try_revocation(ctx, &pending).await?;
        metrics::counter!("tenancy_oauth_revocations_total", "outcome" => outcome.as_str())
            .increment(1);
        if outcome == DisconnectOutcome::RevocationPending {
            if pending.attempts + 1 < ATTEMPTS && pending.age < LONGEST {
                let wait = wait(pending.attempts);
                self.0.connections.revoke_later(ctx, id, wait).await?;
                return Ok(outcome);
            }
            outcome = DisconnectOutcome::RevocationFailed;
        }
        let event = Event::new("oauth.revocation_ended")
            .outcome(match outcome {
                DisconnectOutcome::RevocationFailed => Outcome::Error,
                _ => Outcome::Allowed,
            })
            .target("oauth_connection", pending.connection)
            .meta("provider", pending.provider.as_str())
            .meta("revocation", outcome.as_str());
        self.0
            .connections
            .revocation_ended(ctx, &pending, outcome.as_str(), event)
            .await?;
        Ok(outcome)
    }

    async fn try_revocation(
        &self,
        ctx: &TenantCtx,
        pending: &PendingRevocation,
    ) -> Result<DisconnectOutcome, Error> {
        let Ok((provider, client)) = self.provider(ctx, &pending.provider).await else {
            // It may be back with the host's next start.
            return Ok(DisconnectOutcome::RevocationPending);
        };
        let caller = Caller {
            http: &*self.0.http,
            provider: &provider,
            client,
        };
        if caller.revokes_grants() {
            let shared = self.0.connections.is_shared(ctx, pending.connection);
            if shared.await? {
                return Ok(DisconnectOutcome::SharedGrant);
            }
        }
        let sealer = self.0.vault.sealer();
        let token = match sealer.open(ctx, &pending.binding, &pending.envelope).await {
            Ok(token) => token,
            Err(error) if error.kind() == ErrorKind::Unreadable => {
                return Ok(DisconnectOutcome::RevocationFailed);
            }
            Err(error) => {
                tracing::warn!(tenant = %ctx.tenant(), %error, "a token could not be opened to be taken back");
                return Ok(DisconnectOutcome::RevocationPending);
            }
        };
        let hint = pending.binding.field.as_str();
        Ok(if caller.revoke(&token, hint).await {
            DisconnectOutcome::Revoked
        } else {
            DisconnectOutcome::RevocationPending
        })
    }
}

/// A minute after the first try, twice as long after each, six hours at most.
fn wait(attempts: u32) -> Duration {
    let minutes = 2_u64.saturating_pow(attempts.min(16));
    Duration::from_mins(minutes.min(360))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tries_are_spread_over_a_little_more_than_a_day() {
        let all: Duration = (0..ATTEMPTS - 1).map(wait).sum();
        assert!(
            all > Duration::from_hours(24) && all < Duration::from_hours(36),
            "{all:?}"
        );
        assert_eq!(wait(0), Duration::from_mins(1));
    }
}
