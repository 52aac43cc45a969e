//! The HTTP embedder against a server of this test.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use tenancy_core::SecretText;
use tenancy_rag::{
    Embedder as _, EmbeddingModel, ErrorKind, HashEmbedder, HttpEmbedder, HttpEmbedderOptions,
    Ingestor, Purpose, RetrieveOptions, Retriever, testing::conformance,
};

use crate::common::World;

const DIMENSIONS: usize = 64;

#[derive(Clone, Default)]
struct Server {
    /// Answers that come before the right ones.
    script: Arc<Mutex<VecDeque<Response>>>,
    requests: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    max_batch: Option<usize>,
}

impl Server {
    async fn start(self) -> String {
        let app = Router::new()
            .route("/v1/embeddings", post(answer))
            .with_state(self);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        base
    }

    fn say(&self, status: u16, body: &Value) {
        let response = (StatusCode::from_u16(status).unwrap(), Json(body.clone())).into_response();
        self.script.lock().unwrap().push_back(response);
    }

    fn asked(&self) -> Vec<(HeaderMap, Value)> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(
    State(server): State<Server>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    server
        .requests
        .lock()
        .unwrap()
        .push((headers, body.clone()));
    if let Some(response) = server.script.lock().unwrap().pop_front() {
        return response;
    }
    let texts = body["input"].as_array().unwrap();
    if server.max_batch.is_some_and(|max| texts.len() > max) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let hash = HashEmbedder::new(DIMENSIONS).unwrap();
    // The last first: the order of an answer is not promised.
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| json!({ "index": index, "embedding": hash.vector(text.as_str().unwrap()) }))
        .collect();
    Json(json!({ "object": "list", "data": data, "model": "m" })).into_response()
}

fn embedder(base: &str, options: HttpEmbedderOptions) -> HttpEmbedder {
    let model = EmbeddingModel::new("test-model", DIMENSIONS).unwrap();
    HttpEmbedder::with_options(base, Some(SecretText::new("s3cr3t")), model, options).unwrap()
}

fn texts(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("text {n}")).collect()
}

#[tokio::test]
async fn it_keeps_the_contract_in_batches_with_its_key_and_without_showing_it() {
    let world = World::new().await;
    let server = Server {
        max_batch: Some(3),
        ..Server::default()
    };
    let base = server.clone().start().await;
    let embedder = embedder(&base, HttpEmbedderOptions::default().with_batch(4));
    conformance::embedder(&embedder, &world.admin).await;
    let vectors = embedder
        .embed(&world.admin, &texts(10), Purpose::Passage)
        .await
        .unwrap();
    assert_eq!(vectors.len(), 10);
    assert_eq!(
        vectors[7],
        HashEmbedder::new(DIMENSIONS).unwrap().vector("text 7")
    );
    let (headers, body) = server.asked().pop().unwrap();
    assert_eq!(headers[header::AUTHORIZATION], "Bearer s3cr3t");
    assert_eq!(body["model"], "test-model");
    assert!(!format!("{embedder:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_as_late_as_the_server_asks() {
    let world = World::new().await;
    let server = Server::default();
    let base = server.clone().start().await;
    let embedder = embedder(&base, HttpEmbedderOptions::default());
    let later = (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response();
    server.script.lock().unwrap().push_back(later);
    server.say(503, &json!({}));
    let begun = Instant::now();
    embedder
        .embed(&world.admin, &texts(2), Purpose::Passage)
        .await
        .unwrap();
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(server.asked().len(), 3);

    let for_ever = (
        StatusCode::TOO_MANY_REQUESTS,
        [(header::RETRY_AFTER, "86400")],
    )
        .into_response();
    server.script.lock().unwrap().push_back(for_ever);
    let error = embedder
        .embed(&world.admin, &texts(2), Purpose::Passage)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "embedder_overloaded")
    );
    assert_eq!(
        error.retry(),
        tenancy_core::Retry::After(Duration::from_hours(24))
    );
    assert_eq!(server.asked().len(), 4, "a day is not waited");
}

#[tokio::test]
async fn tries_are_bounded_and_a_refusal_is_not_tried_again() {
    let world = World::new().await;
    let server = Server::default();
    let base = server.clone().start().await;
    let embedder = embedder(&base, HttpEmbedderOptions::default().with_attempts(2));
    for _ in 0..2 {
        server.say(500, &json!({}));
    }
    let error = embedder
        .embed(&world.admin, &texts(1), Purpose::Query)
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), server.asked().len()),
        ("embedder_overloaded", 2)
    );
    for (status, code) in [
        (401, "embedder_key_refused"),
        (400, "embedder_refused"),
        (302, "embedder_refused"),
    ] {
        server.say(status, &json!({ "error": { "message": "about text 0" } }));
        let error = embedder
            .embed(&world.admin, &texts(1), Purpose::Query)
            .await
            .unwrap_err();
        assert_eq!(error.code(), code);
        assert!(!error.to_string().contains("text 0"));
    }
    assert_eq!(server.asked().len(), 5);
    let gone = self::embedder(
        "http://127.0.0.1:9/v1",
        HttpEmbedderOptions::default().with_attempts(1),
    );
    let error = gone
        .embed(&world.admin, &texts(1), Purpose::Query)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "embedder_unreachable")
    );
}

#[tokio::test]
async fn every_answer_that_is_not_a_set_of_vectors_is_refused() {
    let world = World::new().await;
    let server = Server::default();
    let base = server.clone().start().await;
    let embedder = embedder(&base, HttpEmbedderOptions::default());
    let good = vec![0.5_f32; DIMENSIONS];
    let mut holed = json!(good);
    holed[3] = Value::Null;
    let item = |index: usize, embedding: Value| json!({ "index": index, "embedding": embedding });
    let cases = [
        (json!({ "data": [] }), "embedding_count"),
        (json!({ "data": [item(0, json!(good))] }), "embedding_count"),
        (
            json!({ "data": [item(0, json!(good)), item(0, json!(good))] }),
            "embedding_malformed",
        ),
        (
            json!({ "data": [item(0, json!(good)), item(2, json!(good))] }),
            "embedding_malformed",
        ),
        (
            json!({ "data": [item(0, json!(good)), item(1, json!([1.0]))] }),
            "embedding_dimensions",
        ),
        (
            json!({ "data": [item(0, json!(good)), item(1, holed)] }),
            "embedding_not_finite",
        ),
        (
            json!({ "data": [item(0, json!(good)), item(1, json!(vec![0.0; DIMENSIONS]))] }),
            "embedding_zero",
        ),
        (json!({ "vectors": [] }), "embedding_malformed"),
        (
            json!({ "data": [], "padding": "x".repeat(200_000) }),
            "embedding_malformed",
        ),
    ];
    for (body, code) in cases {
        server.say(200, &body);
        let error = embedder
            .embed(&world.admin, &texts(2), Purpose::Passage)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::EmbeddingInvalid, code)
        );
    }
    assert!(
        embedder
            .embed(&world.admin, &texts(2), Purpose::Passage)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn documents_go_in_and_come_out_over_http_with_vectors_shorter_than_the_column() {
    let world = World::new().await;
    let base = Server::default().start().await;
    let embedder = Arc::new(embedder(&base, HttpEmbedderOptions::default()));
    let (authorizer, audit) = (
        Arc::new(world.authorizer.clone()),
        Arc::new(world.audit.clone()),
    );
    let db = world.db.app.clone();
    let ingestor = Ingestor::new(
        db.clone(),
        embedder.clone(),
        authorizer.clone(),
        audit.clone(),
    );
    world
        .put_with(
            &ingestor,
            &world.admin,
            "a.txt",
            "Trains are booked by the office.",
            &["admin"],
        )
        .await
        .unwrap();
    let retriever = Retriever::new(db, embedder, authorizer, audit);
    let found = retriever
        .retrieve(
            &world.admin,
            "trains booked by the office",
            RetrieveOptions::default(),
        )
        .await
        .unwrap();
    assert!(found.hits[0].score > 0.5, "{}", found.hits[0].score);
}
