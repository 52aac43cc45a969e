//! However a path is written: a guard stands on what answers, and not on how the path looks.

use std::collections::BTreeSet;

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{StatusCode, Uri};
use tower::util::MapRequest;

use crate::{
    gates::{app, call},
    support::{Result, World},
};

/// Ways to write `/word` that some router, proxy or framework takes for it.
fn spellings(word: &str) -> Vec<String> {
    let (first, rest) = word.split_at(1);
    let encoded = format!("%{:02x}{rest}", first.as_bytes()[0]);
    vec![
        format!("/{word}"),
        format!("//{word}"),
        format!("/{}", word.to_uppercase()),
        format!("/{encoded}"),
        format!("/{}", encoded.to_uppercase()),
        format!("/x/../{word}"),
        format!("/x/%2e%2e/{word}"),
        format!("/templates/../{word}"),
        format!("/./{word}"),
        format!("/{word}/"),
        format!("/{word}/."),
        format!("/{word};a=b"),
        format!("/;a=b/{word}"),
        format!("/{word}%2f"),
        format!("/%2F{word}"),
        format!("/{word}%00"),
        format!("/{word}%20"),
        format!("/{word}?path=/templates"),
        format!("/templates;/../{word}?{word}"),
    ]
}

/// What a path is to whoever reads it as kindly as possible.
fn kindly(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut left = path.as_bytes().iter();
    while let Some(&byte) = left.next() {
        let code = left.as_slice().get(..2).filter(|_| byte == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                left.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    let decoded = String::from_utf8_lossy(&bytes).to_lowercase();
    let mut kept = Vec::new();
    for segment in decoded.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        match segment.trim_matches(|c: char| c.is_control() || c == ' ') {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment.to_owned()),
        }
    }
    format!("/{}", kept.join("/"))
}

fn rewritten(mut request: Request<Body>) -> Request<Body> {
    let kindly = kindly(request.uri().path());
    *request.uri_mut() = kindly.parse::<Uri>().expect("a path");
    request
}

/// What stands in front of many a service: it rewrites every path before the router looks at it.
fn behind_a_proxy(app: Router) -> Router {
    let rewrite: fn(Request<Body>) -> Request<Body> = rewritten;
    Router::new().fallback_service(MapRequest::new(app, rewrite))
}

#[tokio::test]
async fn no_way_to_write_a_path_goes_round_the_guard_of_its_handler() -> Result {
    let world = World::new().await?;
    let bare = app(&world, world.authz.clone())?;
    let proxied = behind_a_proxy(app(&world, world.authz.clone())?);
    let reader = world.member(&["viewer"]).await?;
    for word in ["purge", "typed"] {
        let mut met = BTreeSet::new();
        for path in spellings(word) {
            let entries = || world.audit.of("access.denied").len();
            let before = entries();
            let (status, _, body) = call(&bare, &path, Some(&reader)).await?;
            let denied = status == StatusCode::FORBIDDEN;
            assert!(
                denied || status == StatusCode::NOT_FOUND,
                "{path}: {status} {body}"
            );
            assert_eq!(entries(), before + usize::from(denied), "{path}");
            met.insert(denied);

            let (status, _, body) = call(&proxied, &path, Some(&reader)).await?;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {body}");
            assert_eq!(entries(), before + usize::from(denied) + 1, "{path}");
            let (status, _, body) = call(&proxied, &path, Some(&world.owner)).await?;
            assert_eq!(status, StatusCode::OK, "{path}: {body}");
        }
        assert_eq!(met.len(), 2, "some are the route, others are none");
    }
    Ok(())
}

/// The mistake: a rule over paths, which each that reads them otherwise goes round.
async fn by_path(request: Request, next: Next) -> Response {
    if request.uri().path() == "/purge" {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

#[tokio::test]
async fn a_rule_over_paths_is_gone_round_by_nearly_every_other_way_to_write_them() -> Result {
    let open = Router::new().route("/purge", get(|| async { "purged" }));
    let ruled = behind_a_proxy(open).layer(from_fn(by_path));
    let mut got_past = 0;
    for path in spellings("purge") {
        let (status, _, _) = call(&ruled, &path, None).await?;
        got_past += usize::from(status == StatusCode::OK);
    }
    assert!(got_past > 10, "{got_past} got past the rule");
    Ok(())
}
