//! An MCP server with the fields of Smartlead's lead endpoints, in memory.
//!
//! A stand-in for tests and the quickstart, where the real service can't be: it counts what it
//! did, and it can be told to fail. [`run`] is the server; a program that wants it in a process
//! of its own starts itself again and calls it there. [`Peer`] is that process seen from outside.

mod leads;
mod peer;
mod tools;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{AppendHeaders, IntoResponse as _, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

pub use peer::Peer;

use leads::Leads;
use tools::Smartlead;

/// All that the server keeps.
#[derive(Debug, Default)]
struct Inner {
    leads: Leads,
    api_key: String,
    fault: Option<Fault>,
    altered: bool,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Inner>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the next calls of a tool meet.
#[derive(Clone, Debug, Deserialize)]
struct Fault {
    mode: Mode,
    #[serde(default = "one")]
    count: u32,
    #[serde(default)]
    status: u16,
    retry_after: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Does the work and cuts the connection.
    DropAfterEffect,
    /// Does the work and never answers.
    Hang,
    /// Answers with a status and does nothing.
    Status,
}

fn one() -> u32 {
    1
}

/// Serves on a free port of 127.0.0.1, prints the URL, and ends when stdin closes.
pub async fn run() -> std::io::Result<()> {
    let shared = Shared::default();
    shared.lock().api_key =
        std::env::var("SMARTLEAD_API_KEY").unwrap_or_else(|_| "test-key".to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        // Without it small answers wait for the client's delayed acknowledgement.
        let _ = socket.set_nodelay(true);
    });
    let serving = axum::serve(listener, router(&shared));
    let mut closed = Vec::new();
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        ended = serving => ended?,
        _ = stdin.read_to_end(&mut closed) => {}
    }
    // A blocked read of stdin or a call that hangs must not keep the process.
    std::process::exit(0)
}

fn router(shared: &Shared) -> Router {
    let tools = shared.clone();
    let mut config = StreamableHttpServerConfig::default();
    config.json_response = true;
    config.legacy_session_mode = false;
    let mcp: StreamableHttpService<Smartlead, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(Smartlead::new(tools.clone())),
        Arc::default(),
        config,
    );
    Router::new()
        .nest_service("/mcp", mcp)
        .layer(from_fn_with_state(shared.clone(), guard))
        .route("/stats", get(stats))
        .route("/fault", post(set))
        .with_state(shared.clone())
}

/// Checks the key, and gives a call of a tool what the test ordered.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let expected = format!("Bearer {}", shared.lock().api_key);
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_none_or(|given| given.as_bytes() != expected.as_bytes()) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 4 * 1024 * 1024).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let fault = is_tool_call(&body).then(|| shared.next_fault()).flatten();
    let request = Request::from_parts(head, Body::from(body));
    let Some(fault) = fault else {
        return next.run(request).await;
    };
    if fault.mode == Mode::Status {
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let wait = fault
            .retry_after
            .map(|wait| (header::RETRY_AFTER, wait.to_string()));
        return (status, AppendHeaders(wait)).into_response();
    }
    next.run(request).await;
    if fault.mode == Mode::Hang {
        std::future::pending::<()>().await;
    }
    let cut = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, Body::from_stream(cut)).into_response()
}

fn is_tool_call(body: &[u8]) -> bool {
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    message.get("method").and_then(Value::as_str) == Some("tools/call")
}

impl Shared {
    fn next_fault(&self) -> Option<Fault> {
        let mut inner = self.lock();
        inner.leads.received += 1;
        let fault = inner.fault.clone()?;
        inner.fault = (fault.count > 1).then(|| Fault {
            count: fault.count - 1,
            ..fault.clone()
        });
        Some(fault)
    }
}

async fn stats(State(shared): State<Shared>) -> Json<Value> {
    Json(shared.lock().leads.stats())
}

/// `{"mode": "status", "status": 503, "retry_after": 1, "count": 2}`, `{"mode": "hang"}`,
/// `{"mode": "drop_after_effect"}`; `{"altered": true}` describes `update_lead` differently,
/// `{"api_key": "…"}` takes another key from now on.
async fn set(State(shared): State<Shared>, Json(wish): Json<Value>) -> StatusCode {
    let mut inner = shared.lock();
    if let Some(altered) = wish.get("altered").and_then(Value::as_bool) {
        inner.altered = altered;
    }
    if let Some(key) = wish.get("api_key").and_then(Value::as_str) {
        key.clone_into(&mut inner.api_key);
    }
    if wish.get("mode").is_some() {
        let Ok(fault) = serde_json::from_value(wish) else {
            return StatusCode::UNPROCESSABLE_ENTITY;
        };
        inner.fault = Some(fault);
    }
    StatusCode::NO_CONTENT
}
