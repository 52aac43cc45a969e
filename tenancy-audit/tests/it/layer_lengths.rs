//! A server asks for no more than what a response's head promises: the entry is written before that.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::json;
use tenancy_audit::http::AuditLayer;
use tenancy_core::Outcome;
use tower::{Layer as _, Service as _, service_fn};

use crate::{
    layer::Broken,
    layer_ends::{Chunk, ask, only, pieces, post_to, serving},
    support::House,
};

/// `one two`, and an end that never comes.
fn endless() -> Body {
    let chunks: [Option<Chunk>; 3] = [Some(Ok("one ")), Some(Ok("two")), None];
    pieces(chunks.into())
}

/// A stream with a length that somebody else has said, as of an answer that is handed on.
fn sized(len: &'static str, body: Body) -> Response {
    ([(CONTENT_LENGTH, len)], body).into_response()
}

/// Data and trailers, and an end that never comes.
fn with_trailers() -> Body {
    let frames = vec![
        Frame::data(Bytes::from_static(b"one ")),
        Frame::trailers(HeaderMap::new()),
    ];
    let frames = stream::unfold(frames.into_iter(), |mut rest| async move {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        match rest.next() {
            Some(frame) => Some((Ok::<_, Infallible>(frame), rest)),
            None => std::future::pending().await,
        }
    });
    Body::new(StreamBody::new(frames))
}

fn routes() -> Router {
    let whole = || -> Vec<Option<Chunk>> { vec![Some(Ok("one ")), Some(Ok("two"))] };
    Router::new()
        .route("/sized", post(|| async { sized("7", endless()) }))
        .route(
            "/short",
            post(move || async move { sized("10", pieces(whole())) }),
        )
        .route("/long", post(|| async { sized("3", endless()) }))
        .route("/none", post(|| async { sized("0", endless()) }))
        .route("/unclear", post(|| async { sized("+7", endless()) }))
        .route(
            "/bare",
            post(|| async { (StatusCode::NO_CONTENT, endless()) }),
        )
        .route("/trailers", post(|| async { with_trailers() }))
        .route(
            "/empty",
            // It panics if it is asked again behind its end.
            post(|| async {
                Body::from_stream(stream::unfold((), |()| async { None::<(Chunk, ())> }))
            }),
        )
}

#[tokio::test]
async fn what_was_promised_and_sent_is_answered_and_less_is_not() {
    let mut found = Vec::new();
    let expected = [
        ("/sized", None, Outcome::Allowed, "\r\n\r\none two"),
        ("/short", Some("body_failed"), Outcome::Error, "one two"),
        ("/long", None, Outcome::Allowed, "\r\n\r\none"),
        ("/none", None, Outcome::Allowed, "\r\n\r\n"),
        // No server makes a response of it.
        ("/unclear", Some("aborted"), Outcome::Error, ""),
        ("/bare", None, Outcome::Allowed, "\r\n\r\n"),
        ("/trailers", None, Outcome::Allowed, "0\r\n\r\n"),
        ("/empty", None, Outcome::Allowed, "\r\n\r\n"),
    ];
    for (path, _, _, end) in expected {
        let house = House::new().await;
        let sink = Arc::new(house.audit.clone());
        let (address, layer) = serving(routes(), &house.a, sink, false).await;
        let answer = ask(&address, &post_to(path), 5_000).await;
        let entry = only(&house, &layer).await;
        let mut flags = ["panicked", "aborted", "body_failed"].into_iter();
        let flag = flags.find(|flag| entry.meta.contains_key(*flag));
        let sent = if answer.ends_with(end) { end } else { "?" };
        found.push((path, flag, entry.outcome, sent));
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn on_a_connection_that_stays_open_the_entry_is_there_before_the_last_bytes() {
    let house = House::new().await;
    let sink = Arc::new(house.audit.clone());
    let (address, layer) = serving(routes(), &house.a, sink, false).await;
    let open = post_to("/sized").replace("connection: close\r\n", "");
    let answer = ask(&address, &format!("{open}{}", post_to("/sized")), 5_000).await;
    assert_eq!(answer.matches("one two").count(), 2, "{answer}");
    // Nobody has waited for anything.
    let entries = house.entries(&house.a).await;
    let ends: Vec<_> = entries
        .iter()
        .map(|entry| (entry.outcome, entry.meta.get("aborted")))
        .collect();
    assert_eq!(ends, [(Outcome::Allowed, None); 2]);
    layer.settle().await;
    assert_eq!(house.entries(&house.a).await.len(), 2);
}

#[tokio::test]
async fn the_last_promised_bytes_are_held_back_without_the_entry_where_that_is_wanted() {
    let house = House::new().await;
    for (strict, whole) in [(false, true), (true, false)] {
        let (address, _) = serving(routes(), &house.a, Arc::new(Broken), strict).await;
        let answer = ask(&address, &post_to("/sized"), 5_000).await;
        assert!(answer.contains("content-length: 7"), "{answer}");
        assert_eq!(answer.ends_with("two"), whole, "{answer}");
        let answer = ask(&address, &post_to("/bare"), 5_000).await;
        let status = if strict { " 503 " } else { " 204 " };
        assert!(answer.contains(status), "{answer}");
    }
}

/// Over HTTP/2 a server takes the trailers for the end as well, and a length is only a promise.
#[tokio::test]
async fn a_body_that_is_let_go_behind_its_trailers_was_answered() {
    for has_length in [false, true] {
        let house = House::new().await;
        let layer = AuditLayer::new(Arc::new(house.audit.clone()));
        let mut service = layer.layer(service_fn(move |_: http::Request<()>| async move {
            Ok::<_, Infallible>(if has_length {
                sized("4", with_trailers())
            } else {
                with_trailers().into_response()
            })
        }));
        let mut request = http::Request::post("/").body(()).unwrap();
        request.extensions_mut().insert(house.a.clone());
        let mut body = service.call(request).await.unwrap().into_body();
        for is_data in [true, false] {
            assert_eq!(body.frame().await.unwrap().unwrap().is_data(), is_data);
        }
        drop(body);
        let entry = only(&house, &layer).await;
        assert_eq!(entry.outcome, Outcome::Allowed, "{has_length}");
        assert_eq!(entry.meta["status"], json!(200));
    }
}
