//! However a request ends, it leaves one entry: over real connections, and over plain tower services.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    layer::Broken,
    support::{Counters, House},
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use tenancy_audit::{
    Entry,
    http::{AuditBody, AuditLayer, AuditNote},
};
use tenancy_core::{AuditSink, Event, Kept, NoAudit, Outcome, TenantCtx, TenantTx};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

pub(crate) type Chunk = Result<&'static str, io::Error>;

/// Pieces with some time in between; `None` never comes.
pub(crate) fn pieces(pieces: Vec<Option<Chunk>>) -> Body {
    Body::from_stream(stream::unfold(pieces.into_iter(), |mut rest| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        match rest.next()? {
            Some(piece) => Some((piece, rest)),
            None => std::future::pending().await,
        }
    }))
}

fn broken() -> io::Error {
    io::Error::other("planted")
}

fn routes() -> Router {
    Router::new()
        .route("/whole", post(|| async { "done" }))
        .route("/reads", get(|| async { "done" }))
        .route(
            "/pieces",
            post(|note: AuditNote| async move {
                note.target("file", 1);
                pieces(vec![Some(Ok("one ")), Some(Ok("two"))])
            }),
        )
        .route(
            "/breaks",
            post(|| async { pieces(vec![Some(Ok("one ")), Some(Err(broken()))]) }),
        )
        .route(
            "/never-ends",
            post(|| async { pieces(vec![Some(Ok("one ")), None]) }),
        )
        .route("/counted", post(|| async { Body::new(Counted(3)) }))
        .route(
            "/sleeps",
            post(|| async { tokio::time::sleep(Duration::from_mins(1)).await }),
        )
        .route(
            "/panics",
            post(|method: Method| async move { assert_eq!(method, "GET", "planted") }),
        )
        .route(
            "/uploads",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
}

async fn serve(ctx: &TenantCtx, sink: Arc<dyn AuditSink>, strict: bool) -> (String, AuditLayer) {
    serving(routes(), ctx, sink, strict).await
}

/// A server of which every request belongs to this context, and its layer.
pub(crate) async fn serving(
    routes: Router,
    ctx: &TenantCtx,
    sink: Arc<dyn AuditSink>,
    strict: bool,
) -> (String, AuditLayer) {
    let layer = AuditLayer::new(sink);
    let layer = if strict { layer.fail_requests() } else { layer };
    let ctx = ctx.clone();
    let enters = axum::middleware::map_request(move |mut request: Request| {
        request.extensions_mut().insert(ctx.clone());
        std::future::ready(request)
    });
    let app = routes.layer(layer.clone()).layer(enters);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, layer)
}

/// Sends a request and reads until the server closes, or for so long; what came.
pub(crate) async fn ask(address: &str, head: &str, for_ms: u64) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 1_024];
        while let Ok(len @ 1..) = socket.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..len]);
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(for_ms), reading).await;
    String::from_utf8(answer).unwrap()
}

pub(crate) fn post_to(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

/// The one entry that there is after a while, and no second one.
pub(crate) async fn only(house: &House, layer: &AuditLayer) -> Entry {
    for _ in 0..200 {
        layer.settle().await;
        if !house.entries(&house.a).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    layer.settle().await;
    let mut entries = house.entries(&house.a).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

#[tokio::test]
async fn each_way_to_end_leaves_one_entry_that_says_which() {
    for (path, for_ms, status, flags, outcome) in [
        ("/whole", 5_000, Some(200), &[][..], Outcome::Allowed),
        ("/pieces", 5_000, Some(200), &[], Outcome::Allowed),
        (
            "/breaks",
            5_000,
            Some(200),
            &["body_failed"],
            Outcome::Error,
        ),
        ("/never-ends", 300, Some(200), &["aborted"], Outcome::Error),
        ("/sleeps", 300, None, &["aborted"], Outcome::Error),
        (
            "/panics",
            5_000,
            None,
            &["aborted", "panicked"],
            Outcome::Error,
        ),
        ("/nowhere", 5_000, Some(404), &[], Outcome::Error),
    ] {
        let house = House::new().await;
        let (address, layer) = serve(&house.a, Arc::new(house.audit.clone()), false).await;
        ask(&address, &post_to(path), for_ms).await;
        let entry = only(&house, &layer).await;
        assert_eq!(entry.outcome, outcome, "{path}");
        assert_eq!(
            entry.meta.get("status"),
            status.map(|status: u16| json!(status)).as_ref(),
            "{path}"
        );
        for flag in ["aborted", "body_failed", "panicked", "service_failed"] {
            assert_eq!(
                entry.meta.get(flag),
                flags.contains(&flag).then_some(&json!(true)),
                "{path} {flag}"
            );
        }
        assert!(entry.verify().is_intact() && house.entries(&house.b).await.is_empty());
    }
}

#[tokio::test]
async fn a_response_in_pieces_arrives_whole_and_its_entry_is_there_before_its_end() {
    let house = House::new().await;
    let (address, _) = serve(&house.a, Arc::new(house.audit.clone()), false).await;
    let answer = ask(&address, &post_to("/pieces"), 5_000).await;
    assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
    assert!(answer.contains("one ") && answer.ends_with("two\r\n0\r\n\r\n"));
    let entries = house.entries(&house.a).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].resource.as_deref(), Some("file:1"));

    let answer = ask(&address, &post_to("/whole"), 5_000).await;
    assert!(answer.contains("content-length: 4") && answer.ends_with("done"));
    let reads = "GET /reads HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = ask(&address, reads, 5_000).await;
    assert!(answer.contains("content-length: 4") && answer.ends_with("done"));
    assert_eq!(house.entries(&house.a).await.len(), 2);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_one_entry() {
    let house = House::new().await;
    let (address, layer) = serve(&house.a, Arc::new(house.audit.clone()), false).await;
    let head = "POST /uploads HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf";
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(socket);
    assert_eq!(only(&house, &layer).await.outcome, Outcome::Error);
}

#[tokio::test]
async fn a_response_in_pieces_whose_entry_can_not_be_written_has_no_end_where_that_is_wanted() {
    let house = House::new().await;
    for (strict, whole) in [(false, true), (true, false)] {
        let (address, _) = serve(&house.a, Arc::new(Broken), strict).await;
        let answer = ask(&address, &post_to("/pieces"), 5_000).await;
        assert_eq!(answer.ends_with("\r\n0\r\n\r\n"), whole, "{answer}");
    }
}

#[tokio::test]
async fn a_service_without_axum_is_recorded_too() {
    let house = House::new().await;
    let layer = AuditLayer::new(Arc::new(house.audit.clone()))
        .with_route(|parts| Some(format!("/rpc{}", parts.uri.path())))
        .with_peer(|parts| parts.headers.get("x-real-ip")?.to_str().ok()?.parse().ok());
    let service = service_fn(|request: http::Request<String>| async move {
        match request.uri().path() {
            "/fails" => Err(broken()),
            _ => Ok(Response::new(Full::new(Bytes::from(request.into_body())))),
        }
    });
    let mut service = layer.layer(service);
    let mut call = async |path: &str| {
        let mut request = http::Request::post(path)
            .header("x-real-ip", "192.0.2.7")
            .body("echo".to_owned())
            .unwrap();
        request.extensions_mut().insert(house.a.clone());
        service.ready().await.unwrap().call(request).await
    };
    let response = call("/echo").await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "echo");
    assert_eq!(call("/fails").await.unwrap_err().to_string(), "planted");
    let entries = house.entries(&house.a).await;
    let [failed, echoed] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(echoed.resource.as_deref(), Some("path:/rpc/echo"));
    assert_eq!(echoed.origin().ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(failed.meta["service_failed"], json!(true));
    assert_eq!(failed.outcome, Outcome::Error);
}

/// A body that knows its length, gives one piece at a time, and never says by itself that it has ended.
struct Counted(u64);

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

/// Calls a service whose answer is three pieces of a known length.
async fn counted(ctx: &TenantCtx, layer: &AuditLayer) -> AuditBody<Counted> {
    let mut service = layer
        .clone()
        .layer(service_fn(|_: http::Request<()>| async {
            Ok::<_, Infallible>(Response::new(Counted(3)))
        }));
    let mut request = http::Request::post("/").body(()).unwrap();
    request.extensions_mut().insert(ctx.clone());
    service.call(request).await.unwrap().into_body()
}

#[tokio::test]
async fn the_last_piece_of_a_known_length_comes_behind_the_entry() {
    for (read, status, aborted) in [(3, 200, None), (2, 200, Some(json!(true)))] {
        let house = House::new().await;
        let layer = AuditLayer::new(Arc::new(house.audit.clone()));
        let mut body = counted(&house.a, &layer).await;
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3));
        for at in 1..=read {
            assert!(!http_body::Body::is_end_stream(&body));
            body.frame().await.unwrap().unwrap();
            // Who knows the length does not ask for the end: nothing is left to wait for.
            let there = house.entries(&house.a).await.len();
            assert_eq!(there, usize::from(at == 3), "after piece {at}");
        }
        drop(body);
        let entry = only(&house, &layer).await;
        assert_eq!(entry.meta["status"], json!(status));
        assert_eq!(entry.meta.get("aborted"), aborted.as_ref());
    }
}

#[tokio::test]
async fn a_known_length_is_not_reached_without_the_entry_where_that_is_wanted() {
    let house = House::new().await;
    let strict = AuditLayer::new(Arc::new(Broken)).fail_requests();
    let mut body = counted(&house.a, &strict).await;
    for whole in [true, true, false] {
        assert_eq!(body.frame().await.unwrap().is_ok(), whole);
    }
    for (strict, whole) in [(false, true), (true, false)] {
        let (address, _) = serve(&house.a, Arc::new(Broken), strict).await;
        let answer = ask(&address, &post_to("/counted"), 5_000).await;
        assert!(answer.contains("content-length: 3"), "{answer}");
        assert_eq!(answer.ends_with("xxx"), whole, "{answer}");
    }
}

/// A sink that never comes to an end.
struct Stuck;

#[async_trait::async_trait]
impl AuditSink for Stuck {
    async fn record(&self, _: &TenantCtx, _: Event) -> Result<(), tenancy_core::Error> {
        std::future::pending().await
    }

    async fn record_in(&self, _: &mut TenantTx, _: Event) -> Result<Kept, tenancy_core::Error> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn an_entry_that_is_being_written_when_the_runtime_ends_is_counted() {
    let house = House::new().await;
    let sinks: [(Arc<dyn AuditSink>, u64); 2] =
        [(Arc::new(Stuck), 1), (Arc::new(NoAudit::new()), 0)];
    for (sink, unrecorded) in sinks {
        let ctx = house.a.clone();
        let counted = std::thread::spawn(move || {
            let counters = Counters::default();
            metrics::with_local_recorder(&counters, || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let layer = AuditLayer::new(sink);
                runtime.block_on(async {
                    drop(counted(&ctx, &layer).await);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                });
                drop(runtime);
            });
            counters.of("tenancy_audit_requests_unrecorded_total")
        });
        assert_eq!(counted.join().unwrap(), unrecorded);
    }
}

#[tokio::test]
async fn an_answer_that_could_not_be_recorded_is_one_of_the_layers_own() {
    let house = House::new().await;
    let mut service = AuditLayer::new(Arc::new(Broken))
        .fail_requests()
        .layer(service_fn(|_: http::Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"done"))))
        }));
    let mut request = http::Request::post("/").body(()).unwrap();
    request.extensions_mut().insert(house.a.clone());
    let response = service.call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "audit_unavailable");
}
