//! Sending a browser to a provider.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2::{
    AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    basic::BasicClient,
};
use sha2::{Digest as _, Sha256};
use tenancy_core::{AuthorizerExt as _, SecretText, TenantCtx};
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{MAX_OPEN_STATES, OAuthBroker, STATE_LIFETIME, perm, unknown_connection};
use crate::{
    Binding, Error, ErrorKind, FieldKey, Pkce, Provider, ProviderKey, StartOptions, Started,
    model::{is_scope, random},
    postgres::{NewState, Opened},
};

impl OAuthBroker {
    /// Begins a connection: where to send the browser, and the secret it has to bring back.
    ///
    /// The state is good for ten minutes and one callback, by the same user in the same browser.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `oauth.connect`;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for scopes that are none, a return path that is
    /// not on the allow-list, or a context without a user; [`NotFound`](ErrorKind::NotFound) for
    /// an unknown provider or connection; [`Limit`](ErrorKind::Limit) with 20 flows open.
    #[tracing::instrument(level = "debug", skip_all, fields(tenant = %ctx.tenant(), %provider))]
    pub async fn start(
        &self,
        ctx: &TenantCtx,
        provider: &ProviderKey,
        options: &StartOptions,
    ) -> Result<Started, Error> {
        self.0
            .authorizer
            .require(ctx, perm::OauthConnect::get())
            .await?;
        if ctx.user().is_none() {
            return Err(Error::invalid(
                "user_missing",
                "only a user can connect an account",
            ));
        }
        let (provider, client) = self.provider(ctx, provider).await?;
        let scopes = scopes(&provider, options)?;
        let return_to = self.return_path(options)?;
        if let Some(id) = options.reconnect {
            let known = self.0.connections.load(ctx, id).await?;
            known
                .filter(|loaded| loaded.connection.provider == provider.key)
                .ok_or_else(unknown_connection)?;
        }
        let (state, browser, verifier) = (secret()?, secret()?, secret()?);
        let row = NewRow {
            scopes: &scopes,
            return_to,
            state: &state,
            browser: &browser,
            verifier: &verifier,
        };
        self.remember(ctx, &provider, options, &row).await?;
        let redirect = self.redirect_uri(&provider.key);
        Ok(Started {
            authorize_url: authorize_url(&provider, &client.id, redirect, &row),
            flow: flow_of(&state),
            browser_secret: browser,
        })
    }

    fn return_path(&self, options: &StartOptions) -> Result<&str, Error> {
        let known = match &options.return_to {
            Some(path) => self.0.return_paths.iter().find(|known| *known == path),
            None => self.0.return_paths.first(),
        };
        known.map(String::as_str).ok_or_else(|| {
            Error::invalid(
                "return_path_refused",
                "this return path is not on the allow-list",
            )
        })
    }

    async fn remember(
        &self,
        ctx: &TenantCtx,
        provider: &Provider,
        options: &StartOptions,
        row: &NewRow<'_>,
    ) -> Result<(), Error> {
        let id = Uuid::now_v7();
        let binding = verifier_binding(ctx, &provider.key, id);
        let sealer = self.0.vault.sealer();
        // A second try is enough unless keys are changed faster than a statement runs.
        for _ in 0..4 {
            let state = NewState {
                hash: hash(row.state),
                id,
                provider: &provider.key,
                scopes: row.scopes,
                return_to: row.return_to,
                browser_hash: hash(row.browser),
                reconnect: options.reconnect,
                verifier: sealer.seal(ctx, &binding, row.verifier).await?,
                valid_for: STATE_LIFETIME,
                limit: MAX_OPEN_STATES,
            };
            match self.0.states.open(ctx, &state).await? {
                Opened::Done => return Ok(()),
                Opened::KeyRetired => sealer.key_retired(ctx.tenant()),
                Opened::TooMany => {
                    let message = "too many connections are being made at once";
                    return Err(Error::new(ErrorKind::Limit, "oauth_flows_limit", message));
                }
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "key_busy",
            "the tenant's key is being changed",
        ))
    }
}

struct NewRow<'a> {
    scopes: &'a [String],
    return_to: &'a str,
    state: &'a SecretText,
    browser: &'a SecretText,
    verifier: &'a SecretText,
}

fn scopes(provider: &Provider, options: &StartOptions) -> Result<Vec<String>, Error> {
    let wanted = if options.scopes.is_empty() {
        &provider.default_scopes
    } else {
        &options.scopes
    };
    if wanted.len() > 100 || !wanted.iter().all(|scope| is_scope(scope)) {
        return Err(Error::invalid(
            "scope_invalid",
            "a scope is 1 to 256 printable characters; at most 100 of them",
        ));
    }
    Ok(wanted.clone())
}

fn authorize_url(provider: &Provider, client: &str, redirect: Url, row: &NewRow<'_>) -> Url {
    let client = BasicClient::new(ClientId::new(client.to_owned()))
        .set_auth_uri(AuthUrl::from_url(provider.authorize_url.clone()))
        .set_redirect_uri(RedirectUrl::from_url(redirect));
    let mut request = client.authorize_url(|| CsrfToken::new(row.state.expose().to_owned()));
    if !row.scopes.is_empty() {
        request = request.add_scope(Scope::new(row.scopes.join(&provider.scope_separator)));
    }
    if provider.pkce == Pkce::Send {
        let verifier = PkceCodeVerifier::new(row.verifier.expose().to_owned());
        request =
            request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    }
    for (name, value) in &provider.authorize_params {
        request = request.add_extra_param(name, value);
    }
    request.url().0
}

/// 256 random bits as 43 characters that fit URLs, cookies and PKCE.
fn secret() -> Result<SecretText, Error> {
    let bytes = Zeroizing::new(random::<32>()?);
    Ok(SecretText::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

pub(super) fn hash(secret: &SecretText) -> [u8; 32] {
    Sha256::digest(secret.expose().as_bytes()).into()
}

/// Tells flows apart without telling the state: it is part of a cookie's name.
pub(crate) fn flow_of(state: &SecretText) -> String {
    let tag = Sha256::new()
        .chain_update(b"flow")
        .chain_update(state.expose())
        .finalize();
    let short = tag
        .first_chunk::<8>()
        .map_or(0, |head| u64::from_be_bytes(*head));
    format!("{short:016x}")
}

pub(super) fn verifier_binding(ctx: &TenantCtx, provider: &ProviderKey, id: Uuid) -> Binding {
    let field = FieldKey::from_static("pkce_verifier");
    Binding::new(ctx.tenant(), provider.clone(), id, field, 1)
}
