//! Taking a browser back from a provider.

use serde_json::Value;
use subtle::ConstantTimeEq as _;
use tenancy_core::{AuthorizerExt as _, Event, Outcome, SecretText, ServiceKey, TenantCtx};

use super::{
    OAuthBroker,
    call::{Caller, Grant},
    perm,
    start::{hash, verifier_binding},
};
use crate::{
    ConnectionId, ConnectionStatus, Error, ErrorKind, FieldKey, FinishRequest, Finished, Identity,
    IssuerCheck, Pkce, Provider, SecretId, SecretPath, SecretWrite, Written,
    model::{Binding, TokenFailure, Tokens},
    postgres::{ALL_TOKENS, NewConnection, TakenState},
};

/// How often a connection is stored again when a key or another callback is in the way.
const ATTEMPTS: u32 = 4;

/// Who an account is at its provider.
#[derive(Default)]
struct Account {
    id: Option<String>,
    label: Option<String>,
}

impl OAuthBroker {
    /// Ends a connection: checks the callback, exchanges the code, finds the account out, stores
    /// the tokens.
    ///
    /// The state is taken first, once, whatever happens then. An account that the tenant has
    /// connected before keeps its connection. Refusals are recorded in the tenant that began.
    ///
    /// # Errors
    /// [`StateRefused`](ErrorKind::StateRefused) with the code `state_unknown` (forged, repeated),
    /// `state_expired`, `state_foreign_user`, `state_foreign_browser`, `state_foreign_provider`,
    /// `issuer_mismatch` or `account_mismatch`;
    /// [`ProviderRefused`](ErrorKind::ProviderRefused) if the user or the provider said no;
    /// [`Unavailable`](ErrorKind::Unavailable) if it can't be reached.
    #[tracing::instrument(level = "debug", skip_all, fields(provider = %request.provider))]
    pub async fn finish(&self, request: FinishRequest) -> Result<Finished, Error> {
        let taken = self.0.states.take(&hash(&request.state)).await?;
        let Some(state) = taken else {
            metrics::counter!("tenancy_oauth_callbacks_refused_total", "reason" => "state_unknown")
                .increment(1);
            tracing::warn!(user = %request.user, "an oauth callback had no known state");
            return Err(refused(
                "state_unknown",
                "this sign-in is not known, or was used already",
            ));
        };
        if let Err(error) = check(&state, &request) {
            self.record_refusal(&state, &request, &error).await;
            return Err(error);
        }
        let ctx = self.0.db.enter(state.tenant, state.user).await?;
        self.0
            .authorizer
            .require(&ctx, perm::OauthConnect::get())
            .await?;
        let connected = self.connect(&ctx, &state, request).await;
        if let Err(error) = &connected {
            let event = refusal(&state, error).outcome(Outcome::Error);
            self.record(&ctx, event).await;
        }
        Ok(Finished {
            tenant: state.tenant,
            connection: connected?,
            return_to: state.return_to,
        })
    }

    async fn connect(
        &self,
        ctx: &TenantCtx,
        state: &TakenState,
        request: FinishRequest,
    ) -> Result<ConnectionId, Error> {
        let (provider, client) = self.provider(ctx, &state.provider).await?;
        check_issuer(&provider, request.issuer.as_deref())?;
        if request.error.is_some() {
            return Err(provider_refused(
                "access_refused",
                "the provider did not grant the access",
            ));
        }
        let code = request
            .code
            .ok_or_else(|| refused("code_missing", "the callback has no code"))?;
        let binding = verifier_binding(ctx, &state.provider, state.id);
        let verifier = self
            .0
            .vault
            .sealer()
            .open(ctx, &binding, &state.verifier)
            .await?;
        let caller = Caller {
            http: &*self.0.http,
            provider: &provider,
            client,
        };
        let grant = Grant::Code {
            code: &code,
            verifier: (provider.pkce == Pkce::Send).then_some(&verifier),
            redirect_uri: self.redirect_uri(&provider.key),
        };
        let tokens = caller.tokens(grant).await.map_err(exchange_failed)?;
        let stored = match account(&caller, &tokens).await {
            Ok(account) => self.store(ctx, state, &tokens, &account).await,
            Err(error) => Err(error),
        };
        if stored.is_err() {
            // Nobody would ever use or revoke these tokens.
            self.revoke_quietly(&caller, &tokens).await;
        }
        stored
    }

    async fn store(
        &self,
        ctx: &TenantCtx,
        state: &TakenState,
        tokens: &Tokens,
        account: &Account,
    ) -> Result<ConnectionId, Error> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.try_store(ctx, state, tokens, account).await {
                Ok((id, Written::Done)) => return Ok(id),
                Ok((_, Written::KeyRetired)) => self.0.vault.sealer().key_retired(ctx.tenant()),
                Ok((_, Written::Stale)) => {}
                // Two callbacks of one account: the other one made the connection.
                Err(error) if error.code() == "already_exists" => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "connection_busy",
                "others keep writing this connection",
            )
        }))
    }

    async fn try_store(
        &self,
        ctx: &TenantCtx,
        state: &TakenState,
        tokens: &Tokens,
        account: &Account,
    ) -> Result<(ConnectionId, Written), Error> {
        let known = match (state.reconnect, &account.id) {
            (Some(id), _) => Some(id),
            (None, Some(account)) => {
                self.0
                    .connections
                    .of_account(ctx, &state.provider, account)
                    .await?
            }
            (None, None) => None,
        };
        let before = match known {
            Some(id) => self
                .0
                .connections
                .load(ctx, id)
                .await?
                .map(|loaded| loaded.connection),
            None => None,
        };
        if let Some(before) = &before
            && (before.account_id.is_some() && before.account_id != account.id)
        {
            return Err(refused(
                "account_mismatch",
                "this is another account than the one connected before",
            ));
        }
        let id = known.unwrap_or_else(ConnectionId::new);
        let granted = tokens.scopes.as_ref().unwrap_or(&state.scopes);
        // A provider that sends no refresh token again means the old one, while that lives.
        let lives = before
            .as_ref()
            .is_some_and(|old| old.status == ConnectionStatus::Connected);
        let keeps = tokens.refresh.is_none() && lives;
        let new = NewConnection {
            id,
            provider: &state.provider,
            account_id: account.id.as_deref(),
            label: account.label.as_deref(),
            requested: &state.scopes,
            granted,
            expires_in: tokens.expires_in.map(|lives| lives.as_secs_f64()),
            user: state.user,
            tokens: self.sealed(ctx, state, id, tokens).await?,
            wipes: if keeps { &["access_token"] } else { ALL_TOKENS },
        };
        let event = Event::new("oauth.connected")
            .target("oauth_connection", id)
            .meta("provider", state.provider.as_str())
            .meta("again", before.is_some());
        Ok((id, self.0.connections.save(ctx, &new, event).await?))
    }

    async fn sealed(
        &self,
        ctx: &TenantCtx,
        state: &TakenState,
        connection: ConnectionId,
        tokens: &Tokens,
    ) -> Result<Vec<SecretWrite>, Error> {
        let access = (FieldKey::from_static("access_token"), Some(&tokens.access));
        let refresh = (
            FieldKey::from_static("refresh_token"),
            tokens.refresh.as_ref(),
        );
        let mut writes = Vec::with_capacity(2);
        for (field, token) in [access, refresh] {
            let Some(token) = token else { continue };
            let (id, provider) = (SecretId::new(), state.provider.clone());
            let binding = Binding::new(
                ctx.tenant(),
                provider.clone(),
                id.as_uuid(),
                field.clone(),
                1,
            );
            let envelope = self.0.vault.sealer().seal(ctx, &binding, token).await?;
            let path = SecretPath::of_connection(provider, connection, field);
            writes.push(SecretWrite::new(id, path, envelope, 1, 0).of_connection(connection));
        }
        Ok(writes)
    }

    /// Records in the tenant whose flow it was, as the broker: the caller may not belong to it.
    async fn record_refusal(&self, state: &TakenState, request: &FinishRequest, error: &Error) {
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
                tracing::warn!(tenant = %state.tenant, %error, "a refusal could not be recorded")
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

fn refusal(state: &TakenState, error: &Error) -> Event {
    metrics::counter!("tenancy_oauth_callbacks_refused_total", "reason" => error.code())
        .increment(1);
    Event::new("oauth.callback_refused")
        .target("user", state.user)
        .meta("provider", state.provider.as_str())
        .meta("reason", error.code())
}

/// Everything that can be known before the provider is asked.
fn check(state: &TakenState, request: &FinishRequest) -> Result<(), Error> {
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
fn check_issuer(provider: &Provider, issuer: Option<&str>) -> Result<(), Error> {
    let accepted = match (&provider.issuer, issuer) {
        (Some(expected), Some(issuer)) => expected == issuer,
        (Some(_), None) => provider.issuer_check == IssuerCheck::IfPresent,
        (None, _) => true,
    };
    match accepted {
        true => Ok(()),
        false => Err(refused(
            "issuer_mismatch",
            "the answer comes from another issuer",
        )),
    }
}

fn refused(code: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::StateRefused, code, message)
}

fn provider_refused(code: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::ProviderRefused, code, message)
}

fn exchange_failed(failure: TokenFailure) -> Error {
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

/// Asks who the account is, where the provider can say.
async fn account(caller: &Caller<'_>, tokens: &Tokens) -> Result<Account, Error> {
    let token = &tokens.access;
    let (answer, account_id, label) = match &caller.provider.identity {
        None => return Ok(Account::default()),
        Some(Identity::Token { account_id, label }) => {
            return read_account(&tokens.rest, account_id, label.as_deref());
        }
        Some(Identity::Userinfo {
            url,
            account_id,
            label,
        }) => (caller.get(url, token).await?, account_id, label),
        Some(Identity::Introspection {
            url,
            account_id,
            label,
        }) => {
            let fields = [
                ("token", token.expose()),
                ("token_type_hint", "access_token"),
            ];
            (caller.form(url, &fields, true).await?, account_id, label)
        }
    };
    let body: Value = match answer.status {
        200 => serde_json::from_slice(&answer.body).unwrap_or_default(),
        _ => Value::Null,
    };
    read_account(&body, account_id, label.as_deref())
}

fn read_account(body: &Value, id: &str, label: Option<&str>) -> Result<Account, Error> {
    let text = |pointer: &str, limit: usize| match body.pointer(pointer) {
        Some(Value::String(text)) if (1..=limit).contains(&text.chars().count()) => {
            Some(text.clone())
        }
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let id = text(id, 512).ok_or_else(|| {
        provider_refused(
            "account_unknown",
            "the provider does not say whose account it is",
        )
    })?;
    Ok(Account {
        id: Some(id),
        label: label.and_then(|pointer| text(pointer, 320)),
    })
}

impl OAuthBroker {
    /// Takes tokens back that nobody will use; a failure changes nothing.
    pub(super) async fn revoke_quietly(&self, caller: &Caller<'_>, tokens: &Tokens) {
        let token: Option<(&SecretText, &str)> = tokens
            .refresh
            .as_ref()
            .map(|token| (token, "refresh_token"))
            .or(Some((&tokens.access, "access_token")));
        if let Some((token, hint)) = token
            && !caller.revoke(token, hint).await
        {
            tracing::debug!(provider = %caller.provider.key, "unused tokens could not be revoked");
        }
    }
}
