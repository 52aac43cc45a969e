use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, StatusCode, header},
};
use futures_util::stream;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tenancy_core::{
    TenantCtx,
    http::{TenantLayer, TenantSource},
    testing::{MemoryJobs, TestLogin},
};
use tenancy_rag::{IngestLimits, Ingestor, http::kb_routes};
use tower::ServiceExt as _;

use crate::common::World;

fn app(world: &World, ingestor: Ingestor) -> Router {
    let tenants = TenantLayer::new(
        world.db.app.clone(),
        Arc::new(TestLogin),
        [TenantSource::Header("x-tenant".into())],
    );
    kb_routes(ingestor, world.retriever()).layer(tenants)
}

fn request(ctx: &TenantCtx, method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("x-tenant", ctx.tenant().to_string())
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", ctx.user().unwrap()),
        )
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response.headers()[header::CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    let expected = if status.is_success() {
        "application/json"
    } else {
        "application/problem+json"
    };
    assert_eq!(kind, expected, "{status}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn put(ctx: &TenantCtx, query: &str, body: Body) -> Request<Body> {
    request(
        ctx,
        "PUT",
        &format!("/kb/sources/handbook/documents?{query}"),
    )
    .header(header::CONTENT_TYPE, "text/markdown; charset=utf-8")
    .body(body)
    .unwrap()
}

fn post(ctx: &TenantCtx, path: &str, body: &Value) -> Request<Body> {
    request(ctx, "POST", path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn a_streamed_document_is_found_and_its_citation_opens() {
    let world = World::new().await;
    let app = app(&world, world.ingestor());
    let parts = ["# Trains\n\nTr", "ains are boo", "ked by the office."]
        .map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
    let body = Body::from_stream(stream::iter(parts));
    let (status, done) = send(
        &app,
        put(&world.admin, "uri=travel.md&roles=admin,support", body),
    )
    .await;
    assert_eq!((status, &done["version"]), (StatusCode::CREATED, &json!(1)));
    let path = format!("/kb/ingestions/{}", done["ingestion"].as_str().unwrap());
    let (_, progress) = send(
        &app,
        request(&world.admin, "GET", &path)
            .body(Body::empty())
            .unwrap(),
    )
    .await;
    assert_eq!(progress["progress"]["stage"], "done");

    let support = world.member(&["support"]).await;
    let question = json!({ "query": "who books trains?", "k": 3 });
    let (status, found) = send(&app, post(&support, "/kb/search", &question)).await;
    assert_eq!((status, &found["path"]), (StatusCode::OK, &json!("exact")));
    let citation = &found["hits"][0]["citation"];
    assert_eq!(citation["heading"], "Trains");
    let (_, opened) = send(&app, post(&support, "/kb/citations", citation)).await;
    assert_eq!(opened["text"], found["hits"][0]["text"]);

    let (_, found) = send(&app, post(&world.stranger, "/kb/search", &question)).await;
    assert_eq!(found["hits"], json!([]));
    let (status, problem) = send(&app, post(&world.stranger, "/kb/citations", citation)).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::NOT_FOUND, &json!("citation_unknown"))
    );
}

#[tokio::test]
async fn with_a_queue_an_upload_answers_at_once_where_to_look() {
    let world = World::new().await;
    let jobs = MemoryJobs::new();
    let app = app(&world, world.ingestor().with_jobs(Arc::new(jobs.clone())));
    let (status, answer) = send(
        &app,
        put(&world.admin, "uri=a.md&roles=admin", Body::from("Words.")),
    )
    .await;
    assert_eq!((status, jobs.jobs().len()), (StatusCode::ACCEPTED, 1));
    let path = format!("/kb/ingestions/{}", answer["ingestion"].as_str().unwrap());
    let (_, progress) = send(
        &app,
        request(&world.admin, "GET", &path)
            .body(Body::empty())
            .unwrap(),
    )
    .await;
    assert_eq!(
        (
            &progress["progress"]["stage"],
            &progress["progress"]["bytes"]
        ),
        (&json!("queued"), &json!(6))
    );
    let (status, _) = send(
        &app,
        request(&world.stranger, "GET", &path)
            .body(Body::empty())
            .unwrap(),
    )
    .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bad_requests_are_problem_details_and_leave_nothing() {
    let world = World::new().await;
    let app = app(
        &world,
        world
            .ingestor()
            .with_limits(IngestLimits::default().with_max_bytes(100)),
    );
    let endless =
        stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"words and words ")));
    let broken = stream::iter([
        Ok(Bytes::from_static(b"half")),
        Err(std::io::Error::other("gone")),
    ]);
    let cases = [
        (
            put(
                &world.admin,
                "uri=a.md&roles=admin",
                Body::from_stream(endless),
            ),
            413,
            "document_too_large",
        ),
        (
            put(
                &world.admin,
                "uri=a.md&roles=admin",
                Body::from_stream(broken),
            ),
            400,
            "upload_cut_off",
        ),
        (
            put(&world.admin, "uri=a.md&roles=admin", Body::empty()),
            400,
            "document_empty",
        ),
        (
            put(&world.admin, "uri=a.md&roles=", Body::from("x")),
            400,
            "roles_missing",
        ),
        (
            put(&world.admin, "uri=a.md&roles=Robert'%3B", Body::from("x")),
            400,
            "role_key_invalid",
        ),
        (
            put(&world.admin, "uri=&roles=admin", Body::from("x")),
            400,
            "uri_invalid",
        ),
        (
            put(&world.admin, "roles=admin", Body::from("x")),
            400,
            "query_invalid",
        ),
        (
            post(&world.admin, "/kb/search", &json!({ "query": 7 })),
            422,
            "body_invalid",
        ),
        (
            post(
                &world.admin,
                "/kb/search",
                &json!({ "query": "x", "k": 1000 }),
            ),
            400,
            "k_invalid",
        ),
        (
            request(&world.admin, "GET", "/kb/ingestions/nonsense")
                .body(Body::empty())
                .unwrap(),
            400,
            "path_invalid",
        ),
    ];
    for (request, status, code) in cases {
        let (answered, problem) = send(&app, request).await;
        assert_eq!(
            (answered.as_u16(), &problem["code"]),
            (status, &json!(code)),
            "{problem}"
        );
    }
    assert_eq!(world.leftovers(world.admin.tenant()).await, 0);

    let viewer = tenancy_core::testing::member(&world.db.app, &world.admin)
        .await
        .unwrap();
    let (status, _) = send(&app, put(&viewer, "uri=a.md&roles=admin", Body::from("x"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let unsupported = request(
        &world.admin,
        "PUT",
        "/kb/sources/handbook/documents?uri=a&roles=admin",
    )
    .header(header::CONTENT_TYPE, "image/png")
    .body(Body::from("x"))
    .unwrap();
    assert_eq!(
        send(&app, unsupported).await.0,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}
