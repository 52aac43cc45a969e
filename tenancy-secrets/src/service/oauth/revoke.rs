//! Taking a token back at its provider.

use serde_json::Value;
use tenancy_core::SecretText;

use super::call::Caller;
use crate::{RevokedScope, model::Tokens};

impl Caller<'_> {
    /// Takes tokens back that nobody will use; a failure changes nothing. Where one token stands
    /// for the whole grant they are left to expire: the account may be connected elsewhere.
    pub(super) async fn revoke_unused(&self, tokens: &Tokens) {
        if self.revokes_grants() {
            return;
        }
        let (token, hint) = match &tokens.refresh {
            Some(refresh) => (refresh, "refresh_token"),
            None => (&tokens.access, "access_token"),
        };
        if !self.revoke(token, hint).await {
            tracing::debug!(provider = %self.provider.key, "unused tokens were not revoked");
        }
    }

    /// Asks the provider to take a token back; whether it is dead there now.
    pub(super) async fn revoke(&self, token: &SecretText, hint: &str) -> bool {
        let Some(revocation) = &self.provider.revocation else {
            return false;
        };
        let fields = [("token", token.expose()), ("token_type_hint", hint)];
        match self
            .form(&revocation.url, &fields, revocation.client_auth)
            .await
        {
            Ok(answer) if answer.status == 400 => is_dead(&answer.body),
            Ok(answer) => (200..300).contains(&answer.status) && !is_refusal(&answer.body),
            Err(_) => false,
        }
    }

    /// Whether revoking one token ends what others live on.
    pub(super) fn revokes_grants(&self) -> bool {
        let revocation = self.provider.revocation.as_ref();
        revocation.is_some_and(|revocation| revocation.scope == RevokedScope::Grant)
    }
}

/// Some providers say 400 to a token that is dead already, where RFC 7009 wants 200.
fn is_dead(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer.get("error").and_then(Value::as_str) == Some("invalid_token")
}

/// Some providers refuse with status 200 and `{"ok": false}`.
fn is_refusal(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer.get("ok") == Some(&Value::Bool(false))
        || answer.get("error").is_some_and(Value::is_string)
}
