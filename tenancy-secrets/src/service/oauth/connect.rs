//! Taking a browser back from a provider.

use tenancy_core::{Access, AuthorizerExt as _, Event, Outcome, TenantCtx};

use super::{
    OAuthBroker,
    account::{Account, account},
    call::{Caller, Grant},
    callback::{
        ACCESS_REFUSED, check, check_issuer, exchange_failed, provider_refused, refusal, refused,
    },
    credential::suspended,
    perm,
    start::{hash, verifier_binding},
};
use crate::{
    ConnectionId, ConnectionStatus, Error, ErrorKind, FieldKey, FinishRequest, Finished, Pkce,
    SecretId, SecretPath, SecretWrite, Written,
    model::{Binding, Tokens},
    postgres::{ALL_TOKENS, NewConnection, TakenState},
};

/// How often a connection is stored again when a key or another callback is in the way.
const ATTEMPTS: u32 = 4;

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
        if ctx.access() != Access::ReadWrite {
            // Before the code is exchanged for tokens that could not be stored.
            let message = "the tenant was suspended during the sign-in";
            return Err(suspended("tenant_read_only", message));
        }
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
                ACCESS_REFUSED,
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
            caller.revoke_unused(&tokens).await;
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
}
