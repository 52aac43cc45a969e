//! Calls to a provider: tokens, identity.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, Client, ClientId, ClientSecret, EndpointNotSet,
    EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, StandardRevocableToken, StandardTokenResponse,
    TokenResponse as _, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenancy_core::SecretText;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::client::OAuthClient;
use crate::{
    ClientAuth, Error, NOT_SENT, OAuthHttp, OAuthRequest, OAuthResponse, Provider,
    model::{TokenFailure, Tokens, failure_of, normalise},
};

/// Clocks and networks differ; a token is taken to end this much earlier.
const SKEW: Duration = Duration::from_secs(5);

type TokenAnswer = StandardTokenResponse<Rest, BasicTokenType>;

type TokenClient<HasToken = EndpointNotSet> = Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    HasToken,
>;

/// Fields of an answer that are no standard's.
#[derive(Deserialize, Serialize)]
struct Rest(Map<String, Value>);

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest(***)")
    }
}

impl ExtraTokenFields for Rest {}

/// What is exchanged for tokens.
pub(super) enum Grant<'a> {
    Code {
        code: &'a SecretText,
        verifier: Option<&'a SecretText>,
        redirect_uri: Url,
    },
    Refresh(&'a SecretText),
}

/// A provider as the host's client sees it.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) http: &'a dyn OAuthHttp,
    pub(super) provider: &'a Provider,
    pub(super) client: &'a OAuthClient,
}

impl Caller<'_> {
    /// One token call.
    pub(super) async fn tokens(&self, grant: Grant<'_>) -> Result<Tokens, TokenFailure> {
        let adapter = Adapter {
            caller: *self,
            seen: Mutex::default(),
        };
        let client = self.token_client();
        let began = Instant::now();
        let answer = match grant {
            Grant::Code {
                code,
                verifier,
                redirect_uri,
            } => {
                let code = AuthorizationCode::new(code.expose().to_owned());
                let client = client.set_redirect_uri(RedirectUrl::from_url(redirect_uri));
                let mut request = client.exchange_code(code);
                if let Some(verifier) = verifier {
                    let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
                    request = request.set_pkce_verifier(verifier);
                }
                request.request_async(&adapter).await
            }
            Grant::Refresh(token) => {
                let token = RefreshToken::new(token.expose().to_owned());
                client
                    .exchange_refresh_token(&token)
                    .request_async(&adapter)
                    .await
            }
        };
        match answer {
            Ok(answer) => Ok(self.read(&answer, began.elapsed())),
            Err(error) => Err(failure(&error, adapter.seen())),
        }
    }

    fn token_client(&self) -> TokenClient<EndpointSet> {
        let auth = match self.provider.client_auth {
            ClientAuth::Basic => AuthType::BasicAuth,
            ClientAuth::Body => AuthType::RequestBody,
        };
        let client = TokenClient::new(ClientId::new(self.client.id.clone()))
            .set_auth_type(auth)
            .set_token_uri(TokenUrl::from_url(self.provider.token_url.clone()));
        match &self.client.secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
            None => client,
        }
    }

    fn read(&self, answer: &TokenAnswer, took: Duration) -> Tokens {
        let default = self.provider.token_lifetime.map(Duration::from_secs);
        let lives = answer.expires_in().or(default);
        let scopes = answer
            .scopes()
            .map(|list| list.iter().map(|scope| scope.to_string()).collect());
        Tokens {
            access: SecretText::new(answer.access_token().secret()),
            refresh: answer
                .refresh_token()
                .map(|token| SecretText::new(token.secret())),
            // Counted from before the request was sent.
            expires_in: lives.map(|lives| lives.saturating_sub(took + SKEW)),
            scopes,
            rest: Value::Object(answer.extra_fields().0.clone()),
        }
    }

    /// A form, sent as the client where `authenticated`.
    pub(super) async fn form(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        authenticated: bool,
    ) -> Result<OAuthResponse, Error> {
        let request = self.form_request(url, fields, authenticated);
        self.http.send(request).await
    }

    fn form_request(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        authenticated: bool,
    ) -> OAuthRequest {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let mut request = self.request("POST", url);
        let secret = self.client.secret.as_ref().map(SecretText::expose);
        match (authenticated, self.provider.client_auth, secret) {
            (false, ..) => {}
            (true, ClientAuth::Basic, Some(secret)) => {
                request = request.with_header("authorization", basic(&self.client.id, secret));
            }
            (true, _, secret) => {
                form.append_pair("client_id", &self.client.id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret);
                }
            }
        }
        request
            .with_header("content-type", "application/x-www-form-urlencoded")
            .with_body(form.finish())
    }

    /// A request with the token.
    pub(super) async fn get(&self, url: &Url, token: &SecretText) -> Result<OAuthResponse, Error> {
        let bearer = format!("Bearer {}", token.expose());
        self.http
            .send(
                self.request("GET", url)
                    .with_header("authorization", bearer),
            )
            .await
    }

    fn request(&self, method: &'static str, url: &Url) -> OAuthRequest {
        OAuthRequest::new(method, url.clone(), self.provider.allowed_hosts())
            .with_header("accept", "application/json")
    }
}

/// RFC 6749, section 2.3.1: both parts are form-encoded first.
fn basic(id: &str, secret: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encode(id), encode(secret)));
    format!("Basic {}", STANDARD.encode(pair.as_bytes()))
}

/// Lets the `oauth2` crate speak through our port, and brings the answers into the standard's form.
struct Adapter<'a> {
    caller: Caller<'a>,
    seen: Mutex<Seen>,
}

/// What the crate's own error does not tell.
#[derive(Clone, Copy, Default)]
struct Seen {
    status: Option<u16>,
    retry_after: Option<u64>,
    not_sent: bool,
}

impl Adapter<'_> {
    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let mut ours = OAuthRequest::new(
            "POST",
            self.caller.provider.token_url.clone(),
            self.caller.provider.allowed_hosts(),
        );
        let (head, body) = request.into_parts();
        for (name, value) in &head.headers {
            let text = value.to_str().unwrap_or_default();
            ours = ours.with_header(name.as_str(), text);
        }
        let answer = self
            .caller
            .http
            .send(ours.with_body(body))
            .await
            .inspect_err(|error| {
                let sent = error.code() != NOT_SENT && error.code() != "provider_host_refused";
                self.saw(Seen {
                    not_sent: !sent,
                    ..Seen::default()
                });
            })?;
        self.saw(Seen {
            status: Some(answer.status),
            retry_after: answer.retry_after,
            not_sent: false,
        });
        let (status, body) = normalise(self.caller.provider, answer.status, &answer.body);
        http::Response::builder()
            .status(status)
            .body(body)
            .map_err(|_| Error::internal("status_invalid", "the status is not valid"))
    }
}

impl<'c> AsyncHttpClient<'c> for Adapter<'_> {
    type Error = Error;
    type Future = BoxFuture<'c, Result<HttpResponse, Error>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Classifies without keeping: the crate's parse error holds the whole body.
fn failure(error: &RequestTokenError<Error, BasicErrorResponse>, seen: Seen) -> TokenFailure {
    match (error, seen.status) {
        (_, Some(429 | 503)) => TokenFailure::Busy(seen.retry_after),
        (_, Some(500..)) => TokenFailure::Unknown,
        (RequestTokenError::ServerResponse(answer), _) => failure_of(answer.error().as_ref()),
        (_, Some(400..)) => TokenFailure::Client("invalid_request"),
        (RequestTokenError::Request(_), _) if seen.not_sent => TokenFailure::NotSent,
        _ => TokenFailure::Unknown,
    }
}
