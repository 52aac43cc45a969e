//! The ports of sealing, on what ships with the crate.

use std::sync::{Arc, Mutex};

use crate::seals::signer;
use tenancy_audit::{FileAnchor, SealHead, testing::conformance};
use tenancy_core::SecretText;

#[tokio::test]
async fn a_key_in_this_process_passes_the_suite() {
    let (signer, keys) = signer("one");
    conformance::seal_signer(&*signer, &keys).await;
}

#[tokio::test]
async fn a_file_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let anchor = FileAnchor::new(&path);
    let published = || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    conformance::seal_anchor(&anchor, published).await;
    let nowhere = FileAnchor::new(folder.path().join("none").join("heads"));
    let error = tenancy_audit::SealAnchor::publish(&nowhere, &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "audit_anchor_unavailable");
}

#[tokio::test]
async fn a_service_over_http_passes_the_suite() {
    let kept = Arc::new(Mutex::new(Vec::<SealHead>::new()));
    let take = {
        let kept = kept.clone();
        move |headers: axum::http::HeaderMap, axum::Json(heads): axum::Json<Vec<SealHead>>| {
            let kept = kept.clone();
            async move {
                if headers
                    .get("authorization")
                    .is_none_or(|token| token != "Bearer let me in")
                {
                    return axum::http::StatusCode::UNAUTHORIZED;
                }
                kept.lock().unwrap().extend(heads);
                axum::http::StatusCode::NO_CONTENT
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/heads", listener.local_addr().unwrap());
    let app = axum::Router::new().route("/heads", axum::routing::post(take));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let anchor = tenancy_audit::HttpAnchor::new(&url).unwrap();
    let refused = tenancy_audit::SealAnchor::publish(&anchor, &[])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "audit_anchor_unavailable");
    conformance::seal_anchor(&anchor.with_token(SecretText::new("let me in")), || {
        kept.lock().unwrap().clone()
    })
    .await;
    server.abort();
}
