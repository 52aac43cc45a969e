//! A path leaves nothing of a person in the log, where no erasure reaches it.

use axum::{Router, routing::any};
use http::Method;
use std::sync::Arc;
use tenancy_audit::http::AuditLayer;

use crate::{
    layer::{app, send},
    support::House,
};

const ROW: &str = "018f0000-0000-7000-8000-000000000001";

fn routes() -> Router {
    let done = || async {};
    Router::new()
        .route("/users/{name}", any(done))
        .route("/phones/{number}/calls", any(done))
        .route("/pages/{slug}/authors/{name}", any(done))
        .route("/orders/{order}/lines/{line}", any(done))
}

/// The targets' ids of the house, oldest first, after these paths were asked for.
async fn targets(house: &House, layer: AuditLayer, paths: &[String]) -> Vec<String> {
    let app = app(house, routes(), layer);
    for path in paths {
        assert_eq!(send(&app, &house.a, Method::DELETE, path).await, 200);
    }
    let entries = house.entries(&house.a).await;
    let ids = entries
        .iter()
        .rev()
        .map(|entry| entry.targets[0].id.clone());
    ids.collect()
}

#[tokio::test]
async fn a_person_in_a_path_stands_nowhere_in_the_log() {
    let house = House::new().await;
    let layer = AuditLayer::new(Arc::new(house.audit.clone())).named_by_route();
    let paths = [
        "/users/annsmith".to_owned(),
        "/users/ann%73mith@example.com".to_owned(),
        "/phones/4917012345678/calls".to_owned(),
        "/pages/annsmith/authors/annsmith".to_owned(),
        format!("/orders/{ROW}/lines/12"),
    ];
    let ids = targets(&house, layer, &paths).await;
    let kept = [
        "/users/{name}",
        "/users/{name}",
        "/phones/{number}/calls",
        "/pages/{slug}/authors/{name}",
        &format!("/orders/{ROW}/lines/12"),
    ];
    assert_eq!(ids, kept);
    let rows: Vec<String> = sqlx::query_scalar("SELECT l::text FROM tenancy.audit_logs l")
        .fetch_all(&house.superuser().await)
        .await
        .unwrap();
    assert_eq!(rows.len(), paths.len());
    for row in rows {
        assert!(!row.contains("smith") && !row.contains("49170"), "{row}");
    }
}

#[tokio::test]
async fn a_host_says_which_parameters_name_nobody() {
    let house = House::new().await;
    let layer = AuditLayer::new(Arc::new(house.audit.clone()));
    let layer = layer.with_parameters(["slug"]).with_parameters(["number"]);
    let paths = [
        "/pages/welcome-mail/authors/annsmith".to_owned(),
        "/phones/4917012345678/calls".to_owned(),
    ];
    let ids = targets(&house, layer, &paths).await;
    let kept = [
        "/pages/welcome-mail/authors/{name}",
        "/phones/4917012345678/calls",
    ];
    assert_eq!(ids, kept);
}
