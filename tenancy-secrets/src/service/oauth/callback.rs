//! What a callback has to be, and the record of those that are not.

use subtle::ConstantTimeEq as _;
use tenancy_core::{Event, Outcome, ServiceKey, TenantCtx};

use super::{OAuthBroker, start::hash};
use crate::{
    Error, ErrorKind, FinishRequest, IssuerCheck, Provider, model::TokenFailure,
    postgres::TakenState,
};

/// The code of the error when the user or the provider said no.
pub(crate) const ACCESS_REFUSED: &str = "access_refused";

impl OAuthBroker {
    /// Records in the tenant whose flow it was, as the broker: the caller may not belong to it.
    pub(super) async fn record_refusal(
        &self,
        state: &TakenState,
        request: &FinishRequest,
        error: &Error,
    ) {
        let service = ServiceKey::from_static("oauth_broker");
        match self
            .0
            .db
            .enter_system(state.tenant, service, Vec::new())
            .await
        {
            Ok(ctx) => {
                let event = refusal(state, error).outcome(Outcome::Denied);
                self.record(&ctx, event.meta("caller", request.user.to_string()))
                    .await;
            }
            Err(error) => {
                tracing::warn!(tenant = %state.tenant, %error, "a refusal could not be recorded");
            }
        }
    }

    /// Records what must not turn an answer into another one.
    pub(super) async fn record(&self, ctx: &TenantCtx, event: Event) {
        if let Err(error) = self.0.audit.record(ctx, event).await {
            metrics::counter!("tenancy_oauth_events_unrecorded_total").increment(1);
            tracing::error!(tenant = %ctx.tenant(), %error, "an oauth event could not be recorded");
        }
    }
}

pub(super) fn refusal(state: &TakenState, error: &Error) -> Event {
    metrics::counter!("tenancy_oauth_callbacks_refused_total", "reason" => error.code())
        .increment(1);
    Event::new("oauth.callback_refused")
        .target("user", state.user)
        .meta("provider", state.provider.as_str())
        .meta("reason", error.code())
}

/// Everything that can be known before the provider is asked.
pub(super) fn check(state: &TakenState, request: &FinishRequest) -> Result<(), Error> {
    if state.expired {
        return Err(refused(
            "state_expired",
            "this sign-in took too long: begin again",
        ));
    }
    if state.provider != request.provider {
        return Err(refused(
            "state_foreign_provider",
            "this sign-in belongs to another provider",
        ));
    }
    if state.user != request.user {
        return Err(refused(
            "state_foreign_user",
            "this sign-in was begun by another user",
        ));
    }
    let same_browser = request
        .browser_secret
        .as_ref()
        .is_some_and(|secret| bool::from(hash(secret).ct_eq(&state.browser_hash)));
    if !same_browser {
        return Err(refused(
            "state_foreign_browser",
            "this sign-in was begun in another browser",
        ));
    }
    Ok(())
}

/// RFC 9207: an answer of another server than the one the browser was sent to.
pub(super) fn check_issuer(provider: &Provider, issuer: Option<&str>) -> Result<(), Error> {
    let accepted = match (&provider.issuer, issuer) {
        (Some(expected), Some(issuer)) => expected == issuer,
        (Some(_), None) => provider.issuer_check == IssuerCheck::IfPresent,
        (None, _) => true,
    };
    accepted
        .then_some(())
        .ok_or_else(|| refused("issuer_mismatch", "the answer comes from another issuer"))
}

pub(super) fn refused(code: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::StateRefused, code, message)
}

pub(super) fn provider_refused(code: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::ProviderRefused, code, message)
}

pub(super) fn exchange_failed(failure: TokenFailure) -> Error {
    match failure {
        TokenFailure::Grant => {
            provider_refused("code_refused", "the provider did not take the code")
        }
        TokenFailure::Client(code) => {
            let message = format!("the provider refused the host's client (`{code}`)");
            Error::misconfigured("client_refused", message)
        }
        other => {
            let message = "the provider did not exchange the code: begin again";
            Error::new(ErrorKind::Unavailable, other.as_str(), message)
        }
    }
}
