//! A small OAuth 2 authorization server for the quickstart: it consents by itself, insists on PKCE,
//! rotates refresh tokens and ends a grant whose token is used twice. Everything is in memory.
//!
//! The client is `quickstart` with the secret `quickstart-secret`. [`serve`] is the server; a
//! program that wants it in a process of its own starts itself again and calls it there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use url::Url;

const CLIENT_ID: &str = "quickstart";
const CLIENT_SECRET: &str = "quickstart-secret";
/// How many seconds an access token lives.
const LIFETIME: u64 = 3_600;

/// What a browser was sent back with, until it is exchanged.
struct Code {
    challenge: String,
    redirect_uri: String,
    scope: String,
}

/// What was granted; its refresh token is replaced at every use.
struct Grant {
    refresh: String,
    access: String,
    scope: String,
    used: Vec<String>,
}

#[derive(Default)]
struct Server {
    issuer: String,
    codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    token_calls: u64,
    refreshes: u64,
    revocations: u64,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Server>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Server> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves on a free port of the loopback, prints the URL, and ends when stdin closes.
///
/// # Errors
/// When there is no port to be had.
pub async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let shared = Shared::default();
    shared.lock().issuer.clone_from(&issuer);
    println!("{issuer}");
    // Not gracefully: a client that keeps its connection would keep the process.
    tokio::select! {
        served = async { axum::serve(listener, router(shared)).await } => served,
        () = stdin_closed() => Ok(()),
    }
}

async fn stdin_closed() {
    let mut rest = Vec::new();
    // An error is an end as well.
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/revoke", post(revoke))
        .route("/userinfo", get(userinfo))
        .route("/stats", get(stats))
        .with_state(shared)
}

#[derive(Deserialize)]
struct Authorize {
    client_id: String,
    redirect_uri: Url,
    response_type: String,
    state: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
}

async fn authorize(State(shared): State<Shared>, Query(asked): Query<Authorize>) -> Response {
    let pkce = asked.code_challenge_method == "S256" && !asked.code_challenge.is_empty();
    let local = asked.redirect_uri.host_str() == Some("127.0.0.1");
    if asked.client_id != CLIENT_ID || asked.response_type != "code" || !pkce || !local {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request");
    }
    let Some(code) = secret() else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    };
    let mut back = asked.redirect_uri.clone();
    let mut server = shared.lock();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &asked.state)
        .append_pair("iss", &server.issuer);
    let kept = Code {
        challenge: asked.code_challenge,
        redirect_uri: asked.redirect_uri.into(),
        scope: asked.scope,
    };
    server.codes.insert(code, kept);
    (
        StatusCode::SEE_OTHER,
        [(header::LOCATION, String::from(back))],
    )
        .into_response()
}

#[derive(Deserialize)]
struct TokenForm {
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    code: Option<String>,
    code_verifier: Option<String>,
    redirect_uri: Option<String>,
    refresh_token: Option<String>,
}

async fn token(State(shared): State<Shared>, Form(form): Form<TokenForm>) -> Response {
    let mut server = shared.lock();
    server.token_calls += 1;
    if !is_client(form.client_id.as_deref(), form.client_secret.as_deref()) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let answer = match form.grant_type.as_str() {
        "authorization_code" => server.exchange(&form),
        "refresh_token" => server.refresh(form.refresh_token.as_deref().unwrap_or_default()),
        _ => return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
    };
    match answer {
        Some(answer) => Json(answer).into_response(),
        None => refuse(StatusCode::BAD_REQUEST, "invalid_grant"),
    }
}

impl Server {
    fn exchange(&mut self, form: &TokenForm) -> Option<Value> {
        // Taken before it is checked: a code works once.
        let code = self.codes.remove(form.code.as_deref()?)?;
        let verifier = form.code_verifier.as_deref()?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        if challenge != code.challenge || form.redirect_uri.as_deref() != Some(&code.redirect_uri) {
            return None;
        }
        let grant = Grant {
            refresh: secret()?,
            access: secret()?,
            scope: code.scope,
            used: Vec::new(),
        };
        let answer = grant.answer();
        self.grants.push(grant);
        Some(answer)
    }

    fn refresh(&mut self, token: &str) -> Option<Value> {
        self.refreshes += 1;
        // An old token means that somebody has a copy: the whole grant ends.
        self.grants
            .retain(|grant| !grant.used.iter().any(|used| used == token));
        let grant = self
            .grants
            .iter_mut()
            .find(|grant| grant.refresh == token)?;
        let old = std::mem::replace(&mut grant.refresh, secret()?);
        grant.used.push(old);
        grant.access = secret()?;
        Some(grant.answer())
    }
}

impl Grant {
    fn answer(&self) -> Value {
        json!({
            "access_token": self.access, "refresh_token": self.refresh, "scope": self.scope,
            "token_type": "Bearer", "expires_in": LIFETIME,
        })
    }
}

#[derive(Deserialize)]
struct RevokeForm {
    token: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// RFC 7009: an unknown token is no error.
async fn revoke(State(shared): State<Shared>, Form(form): Form<RevokeForm>) -> Response {
    if !is_client(form.client_id.as_deref(), form.client_secret.as_deref()) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let mut server = shared.lock();
    server.revocations += 1;
    server
        .grants
        .retain(|grant| grant.refresh != form.token && grant.access != form.token);
    StatusCode::OK.into_response()
}

async fn userinfo(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let known = token.is_some_and(|token| {
        shared
            .lock()
            .grants
            .iter()
            .any(|grant| grant.access == token)
    });
    if known {
        Json(json!({ "sub": "demo-account", "email": "demo@example.com" })).into_response()
    } else {
        refuse(StatusCode::UNAUTHORIZED, "invalid_token")
    }
}

async fn stats(State(shared): State<Shared>) -> Json<Value> {
    let server = shared.lock();
    Json(json!({
        "token_calls": server.token_calls, "refreshes": server.refreshes,
        "revocations": server.revocations, "live_grants": server.grants.len(),
    }))
}

fn is_client(id: Option<&str>, secret: Option<&str>) -> bool {
    id == Some(CLIENT_ID) && secret == Some(CLIENT_SECRET)
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({ "error": code }))).into_response()
}

fn secret() -> Option<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}
