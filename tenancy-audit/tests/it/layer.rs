//! The layer: every mutating request of any router leaves one entry.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::support::House;
use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, Request},
    routing::{any, post},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tenancy_audit::{
    Entry,
    http::{AuditLayer, AuditNote},
    perm,
};
use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Error, ErrorKind, Event, Kept, Outcome,
    OwnerAuthorizer, TenantCtx, TenantTx,
    http::{Tenant, TenantLayer, TenantSource},
    testing::TestLogin,
};
use tower::ServiceExt as _;

pub(crate) async fn send(
    router: &Router,
    ctx: &TenantCtx,
    method: Method,
    path: &str,
) -> StatusCode {
    router
        .clone()
        .oneshot(request(ctx, method, path))
        .await
        .unwrap()
        .status()
}

pub(crate) fn request(ctx: &TenantCtx, method: Method, path: &str) -> Request {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", ctx.user().unwrap()))
        .header("x-tenant", ctx.tenant().to_string())
        .header("user-agent", "test/1")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .body(Body::empty())
        .unwrap();
    let peer: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// The host's router under both layers.
pub(crate) fn app(house: &House, routes: Router, layer: AuditLayer) -> Router {
    let source = TenantSource::Header("x-tenant".to_owned());
    routes.layer(layer).layer(TenantLayer::new(
        house.db.app.clone(),
        Arc::new(TestLogin),
        [source],
    ))
}

fn layer(house: &House) -> AuditLayer {
    AuditLayer::new(Arc::new(house.audit.clone()))
}

/// A router that knows nothing of the log.
fn plain_routes() -> Router {
    let fails = || async { StatusCode::INTERNAL_SERVER_ERROR };
    Router::new()
        .route(
            "/things/{id}",
            any(|Path(id): Path<String>| async move { id }),
        )
        .route("/fails", post(fails))
        .route("/refuses", post(|| async { StatusCode::FORBIDDEN }))
        .route("/locked", post(|| async { StatusCode::LOCKED }))
        .route("/unknown", post(|| async { StatusCode::UNAUTHORIZED }))
        .route("/invitations/{token}/accept", post(|| async {}))
}

#[tokio::test]
async fn mutations_of_any_router_are_recorded_and_reads_are_not() {
    let house = House::new().await;
    let router = app(&house, plain_routes(), layer(&house));
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert_eq!(send(&router, &house.a, method, "/things/7").await, 200);
    }
    assert!(house.entries(&house.a).await.is_empty());

    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        assert_eq!(
            send(&router, &house.a, method, "/things/7?page=1&secret=x").await,
            200
        );
    }
    // What is no method of HTTP's own may change things, too.
    for method in ["PURGE", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(send(&router, &house.a, method, "/things/7").await, 200);
    }
    let entries = house.entries(&house.a).await;
    let actions: Vec<_> = entries.iter().rev().map(|e| e.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "http.post",
            "http.put",
            "http.patch",
            "http.delete",
            "http.other",
            "http.other"
        ]
    );
    let entry = &entries[0];
    assert_eq!(entry.resource.as_deref(), Some("path:/things/7"));
    assert_eq!(entry.outcome, Outcome::Allowed);
    assert_eq!(entry.actor.user, house.a.user());
    assert_eq!(
        (&entry.meta["route"], &entry.meta["status"]),
        (&json!("/things/{id}"), &json!(200))
    );
    assert!(entry.meta["latency_ms"].is_u64());
    let origin = entry.origin();
    assert_eq!(origin.ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(origin.user_agent.as_deref(), Some("test/1"));
    assert_eq!(
        origin.trace_id.as_deref(),
        Some("4bf92f3577b34da6a3ce929d0e0e4736")
    );
    assert!(house.entries(&house.b).await.is_empty());
}

#[tokio::test]
async fn without_the_layer_nothing_is_recorded() {
    let house = House::new().await;
    let source = TenantSource::Header("x-tenant".to_owned());
    let tenants = TenantLayer::new(house.db.app.clone(), Arc::new(TestLogin), [source]);
    let router = plain_routes().layer(tenants);
    assert_eq!(
        send(&router, &house.a, Method::POST, "/things/7").await,
        200
    );
    assert!(house.entries(&house.a).await.is_empty());
}

#[tokio::test]
async fn the_outcome_follows_the_status_and_unknown_routes_are_recorded_too() {
    let house = House::new().await;
    let router = app(&house, plain_routes(), layer(&house));
    for (path, status, outcome) in [
        ("/fails", 500, Outcome::Error),
        ("/refuses", 403, Outcome::Denied),
        ("/unknown", 401, Outcome::Denied),
        ("/locked", 423, Outcome::Denied),
        ("/nowhere", 404, Outcome::Error),
    ] {
        assert_eq!(send(&router, &house.a, Method::POST, path).await, status);
        let entry = &house.entries(&house.a).await[0];
        assert_eq!(
            (entry.outcome, &entry.meta["status"]),
            (outcome, &json!(status)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_latency_is_the_time_until_the_answer() {
    let house = House::new().await;
    let slow = || tokio::time::sleep(Duration::from_millis(60));
    let router = app(
        &house,
        Router::new().route("/slow", post(slow)),
        layer(&house),
    );
    assert_eq!(send(&router, &house.a, Method::POST, "/slow").await, 200);
    let latency = house.entries(&house.a).await[0].meta["latency_ms"]
        .as_u64()
        .unwrap();
    assert!((60..60_000).contains(&latency), "{latency} ms");
}

#[tokio::test]
async fn a_browser_that_is_no_text_is_kept_as_one() {
    let house = House::new().await;
    let router = app(&house, plain_routes(), layer(&house));
    let mut request = request(&house.a, Method::POST, "/things/7");
    let agent = http::HeaderValue::from_bytes(b"odd \xff\xed\xa0\x80/1").unwrap();
    request.headers_mut().insert("user-agent", agent);
    assert_eq!(router.oneshot(request).await.unwrap().status(), 200);
    let origin = house.entries(&house.a).await[0].origin();
    assert!(
        origin
            .user_agent
            .is_some_and(|agent| agent.starts_with("odd ") && agent.ends_with("/1"))
    );
}

#[tokio::test]
async fn a_token_in_the_path_is_not_kept() {
    let house = House::new().await;
    let router = app(&house, plain_routes(), layer(&house));
    send(
        &router,
        &house.a,
        Method::POST,
        "/invitations/Zm9vYmFyYmF6cXV4/accept",
    )
    .await;
    let entry = &house.entries(&house.a).await[0];
    assert_eq!(
        entry.resource.as_deref(),
        Some("path:/invitations/{token}/accept")
    );
    assert!(!format!("{entry:?}").contains("Zm9vYmFy"));
}

#[tokio::test]
async fn a_request_that_a_guard_denied_has_the_guards_entry_only() {
    let house = House::new().await;
    let sink: Arc<dyn AuditSink> = Arc::new(house.audit.clone());
    let authorizer: Arc<dyn Authorizer> =
        Arc::new(OwnerAuthorizer::new(house.db.app.clone(), sink));
    let guarded = move |Tenant(ctx): Tenant| {
        let authorizer = authorizer.clone();
        async move {
            authorizer
                .require(&ctx, perm::AuditRead::get())
                .await
                .map(|_| "done")
        }
    };
    let router = app(
        &house,
        Router::new().route("/guarded", post(guarded)),
        layer(&house),
    );
    let member = house.member(&house.a).await;
    assert_eq!(send(&router, &member, Method::POST, "/guarded").await, 403);
    let actions = |entries: Vec<Entry>| -> Vec<String> {
        entries.iter().map(|entry| entry.action.clone()).collect()
    };
    assert_eq!(actions(house.entries(&house.a).await), ["access.denied"]);
    assert_eq!(send(&router, &house.a, Method::POST, "/guarded").await, 200);
    assert_eq!(
        actions(house.entries(&house.a).await),
        ["http.post", "access.denied"]
    );
}

#[tokio::test]
async fn a_handler_can_say_more_or_record_by_itself() {
    let house = House::new().await;
    let says = |note: AuditNote| async move {
        note.action("thing.renamed")
            .target("thing", 7)
            .change("name", "old", "new");
        note.meta("password", "hunter2");
    };
    let (db, audit) = (house.db.app.clone(), house.audit.clone());
    let records = move |Tenant(ctx): Tenant, note: AuditNote| async move {
        let mut tx = db.write(&ctx).await?;
        audit.record_in(&mut tx, Event::new("thing.made")).await?;
        tx.commit().await?;
        note.recorded();
        Ok::<_, Error>("done")
    };
    let too_much = |note: AuditNote| async move {
        note.meta("huge", "x".repeat(1 << 20));
    };
    let routes = Router::new()
        .route("/says", post(says))
        .route("/records", post(records))
        .route("/too-much", post(too_much));
    let app = app(&house, routes, layer(&house));

    assert_eq!(send(&app, &house.a, Method::POST, "/says").await, 200);
    let entry = &house.entries(&house.a).await[0];
    assert_eq!(
        (entry.action.as_str(), entry.resource.as_deref()),
        ("thing.renamed", Some("thing:7"))
    );
    assert_eq!(
        entry.meta["changes"],
        json!({ "name": { "before": "old", "after": "new" } })
    );
    assert_eq!(entry.meta["password"], "[redacted]");

    assert_eq!(send(&app, &house.a, Method::POST, "/records").await, 200);
    let entries = house.entries(&house.a).await;
    assert_eq!(
        (entries.len(), entries[0].action.as_str()),
        (2, "thing.made")
    );

    assert_eq!(send(&app, &house.a, Method::POST, "/too-much").await, 200);
    let entry = &house.entries(&house.a).await[0];
    assert_eq!(
        (entry.action.as_str(), &entry.meta["note_refused"]),
        ("http.post", &json!("audit_meta_too_large"))
    );
}

#[tokio::test]
async fn names_can_follow_the_route_or_the_host() {
    let house = House::new().await;
    let by_route = app(&house, plain_routes(), layer(&house).named_by_route());
    send(&by_route, &house.a, Method::DELETE, "/things/7").await;
    let named = layer(&house).with_naming(|method, route| {
        format!(
            "host.{}_{}",
            method.as_str().to_lowercase(),
            route.is_some()
        )
    });
    send(
        &app(&house, plain_routes(), named),
        &house.a,
        Method::PUT,
        "/things/7",
    )
    .await;
    let entries = house.entries(&house.a).await;
    assert_eq!(
        (entries[1].action.as_str(), entries[0].action.as_str()),
        ("things.delete", "host.put_true")
    );
}

#[tokio::test]
async fn a_caller_who_hangs_up_and_a_handler_that_panics_leave_a_trace() {
    let house = House::new().await;
    let sleeps = || async { tokio::time::sleep(Duration::from_mins(1)).await };
    let panics = |method: Method| async move { assert_eq!(method, "GET", "planted") };
    let routes = Router::new()
        .route("/sleeps", post(sleeps))
        .route("/panics", post(panics));
    let app = app(&house, routes, layer(&house));

    let hung_up = app
        .clone()
        .oneshot(request(&house.a, Method::POST, "/sleeps"));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), hung_up)
            .await
            .is_err()
    );
    let (failing_router, ctx) = (app.clone(), house.a.clone());
    let panicked =
        tokio::spawn(async move { send(&failing_router, &ctx, Method::POST, "/panics").await });
    assert!(panicked.await.is_err());

    let mut entries = Vec::new();
    for _ in 0..100 {
        entries = house.entries(&house.a).await;
        if entries.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let routes: Vec<&Value> = entries.iter().map(|entry| &entry.meta["route"]).collect();
    assert_eq!(routes, [&json!("/panics"), &json!("/sleeps")]);
    assert!(
        entries
            .iter()
            .all(|e| e.meta["aborted"] == json!(true) && e.outcome == Outcome::Error)
    );
}

/// A sink that can't be reached.
pub(crate) struct Broken;

#[async_trait]
impl AuditSink for Broken {
    async fn record(&self, _: &TenantCtx, _: Event) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Unavailable, "planted", "planted"))
    }

    async fn record_in(&self, _: &mut TenantTx, _: Event) -> Result<Kept, Error> {
        Err(Error::new(ErrorKind::Unavailable, "planted", "planted"))
    }
}

#[tokio::test]
async fn a_failure_to_record_fails_the_request_only_where_the_host_wants_that() {
    let house = House::new().await;
    let lenient = app(&house, plain_routes(), AuditLayer::new(Arc::new(Broken)));
    assert_eq!(
        send(&lenient, &house.a, Method::POST, "/things/7").await,
        200
    );
    let strict = app(
        &house,
        plain_routes(),
        AuditLayer::new(Arc::new(Broken)).fail_requests(),
    );
    assert_eq!(
        send(&strict, &house.a, Method::POST, "/things/7").await,
        503
    );
    assert_eq!(send(&strict, &house.a, Method::GET, "/things/7").await, 200);
}

#[tokio::test]
async fn a_request_without_a_login_is_answered_and_belongs_to_no_log() {
    let house = House::new().await;
    let router = app(&house, plain_routes(), layer(&house));
    let mut request = request(&house.a, Method::POST, "/things/7");
    request.headers_mut().remove("authorization");
    assert_eq!(router.oneshot(request).await.unwrap().status(), 401);
    assert!(house.entries(&house.a).await.is_empty());
}
