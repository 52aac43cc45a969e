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

/// What a browser or the client asks; what is missing is empty.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    client_id: String,
    client_secret: String,
    code: String,
    code_challenge: String,
    code_challenge_method: String,
    code_verifier: String,
    grant_type: String,
    redirect_uri: String,
    refresh_token: String,
    response_type: String,
    scope: String,
    state: String,
    token: String,
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
    /// What began each code, until it is exchanged.
    codes: HashMap<String, Asked>,
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
    let router = Router::new()
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/revoke", post(revoke))
        .route("/userinfo", get(userinfo))
        .route("/stats", get(stats))
        .with_state(shared);
    // Not gracefully: a client that keeps its connection would keep the process.
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served,
        () = stdin_closed() => Ok(()),
    }
}

async fn stdin_closed() {
    // An error is an end as well.
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}

async fn authorize(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let pkce = asked.code_challenge_method == "S256" && !asked.code_challenge.is_empty();
    let back = Url::parse(&asked.redirect_uri).ok();
    let back = back.filter(|url| url.host_str() == Some("127.0.0.1"));
    let (Some(mut back), true, "code") = (back, pkce, asked.response_type.as_str()) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request");
    };
    let (Some(code), CLIENT_ID) = (secret(), asked.client_id.as_str()) else {
        return refuse(StatusCode::BAD_REQUEST, "unauthorized_client");
    };
    let mut server = shared.lock();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &asked.state)
        .append_pair("iss", &server.issuer);
    server.codes.insert(code, asked);
    let location = [(header::LOCATION, String::from(back))];
    (StatusCode::SEE_OTHER, location).into_response()
}

async fn token(State(shared): State<Shared>, Form(asked): Form<Asked>) -> Response {
    let mut server = shared.lock();
    server.token_calls += 1;
    if !is_client(&asked) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let answer = match asked.grant_type.as_str() {
        "authorization_code" => server.exchange(&asked),
        "refresh_token" => server.refresh(&asked.refresh_token),
        _ => return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
    };
    answer.map_or_else(
        || refuse(StatusCode::BAD_REQUEST, "invalid_grant"),
        |answer| Json(answer).into_response(),
    )
}

impl Server {
    fn exchange(&mut self, asked: &Asked) -> Option<Value> {
        // Taken before it is checked: a code works once.
        let begun = self.codes.remove(&asked.code)?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&asked.code_verifier));
        if challenge != begun.code_challenge || asked.redirect_uri != begun.redirect_uri {
            return None;
        }
        let grant = Grant {
            refresh: secret()?,
            access: secret()?,
            scope: begun.scope,
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
            .retain(|grant| grant.used.iter().all(|used| used != token));
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

/// RFC 7009: an unknown token is no error.
async fn revoke(State(shared): State<Shared>, Form(asked): Form<Asked>) -> Response {
    if !is_client(&asked) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let mut server = shared.lock();
    server.revocations += 1;
    server
        .grants
        .retain(|grant| grant.refresh != asked.token && grant.access != asked.token);
    StatusCode::OK.into_response()
}

async fn userinfo(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let bearer = headers.get(header::AUTHORIZATION);
    let token = bearer.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let server = shared.lock();
    let known = server
        .grants
        .iter()
        .any(|grant| token == Some(&grant.access));
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

fn is_client(asked: &Asked) -> bool {
    asked.client_id == CLIENT_ID && asked.client_secret == CLIENT_SECRET
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({ "error": code }))).into_response()
}

fn secret() -> Option<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}
