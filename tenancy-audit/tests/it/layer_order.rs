//! What the layer and its note do where no entry is written: on reads, in the wrong order, and without the layer.

use std::sync::Arc;

use crate::{
    layer::{app, request, send},
    support::{Counters, House},
};
use axum::{
    Router,
    routing::{any, post},
};
use http::{Method, StatusCode};
use tenancy_audit::http::{AuditLayer, AuditNote};
use tenancy_core::{
    http::{TenantLayer, TenantSource},
    testing::TestLogin,
};
use tower::ServiceExt as _;

const WITHOUT_TENANT: &str = "tenancy_audit_requests_without_tenant_total";

fn layer(house: &House) -> AuditLayer {
    AuditLayer::new(Arc::new(house.audit.clone()))
}

fn tenants(house: &House) -> TenantLayer {
    let source = TenantSource::Header("x-tenant".to_owned());
    TenantLayer::new(house.db.app.clone(), Arc::new(TestLogin), [source])
}

/// One handler for every method, and one that takes a note where there is one.
fn routes() -> Router {
    let says = |note: AuditNote| async move {
        note.action("thing.touched").target("thing", 7);
    };
    let may_say = |note: Option<AuditNote>| async move {
        let Some(note) = note else {
            return StatusCode::ACCEPTED;
        };
        note.action("thing.touched").target("thing", 8);
        StatusCode::OK
    };
    Router::new()
        .route("/says", any(says))
        .route("/may-say", any(may_say))
        .route("/silent", post(|| async {}))
}

#[tokio::test]
async fn a_handler_for_reads_and_writes_says_the_same_of_both_and_writes_are_recorded() {
    let house = House::new().await;
    let app = app(&house, routes(), layer(&house));
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        for path in ["/says", "/may-say"] {
            let status = send(&app, &house.a, method.clone(), path).await;
            assert_eq!(status, 200, "{method} {path}");
        }
    }
    assert!(house.entries(&house.a).await.is_empty());
    for (path, resource) in [("/says", "thing:7"), ("/may-say", "thing:8")] {
        assert_eq!(send(&app, &house.a, Method::POST, path).await, 200);
        let entry = house.entries(&house.a).await.remove(0);
        assert_eq!(entry.action, "thing.touched");
        assert_eq!(entry.resource.as_deref(), Some(resource));
    }
}

#[tokio::test]
async fn without_the_layer_a_note_fails_and_an_optional_one_is_none() {
    let house = House::new().await;
    let app = routes().layer(tenants(&house));
    for method in [Method::GET, Method::POST] {
        assert_eq!(send(&app, &house.a, method.clone(), "/says").await, 500);
        assert_eq!(send(&app, &house.a, method, "/may-say").await, 202);
    }
}

#[tokio::test]
async fn in_the_wrong_order_each_request_that_is_not_recorded_is_counted() {
    let house = House::new().await;
    let counters = Counters::default();
    let _counting = metrics::set_default_local_recorder(&counters);
    let wrong = routes().layer(tenants(&house)).layer(layer(&house));
    assert_eq!(send(&wrong, &house.a, Method::GET, "/says").await, 200);
    assert_eq!(counters.of(WITHOUT_TENANT), 0, "reads leave no entry");
    assert_eq!(send(&wrong, &house.a, Method::POST, "/silent").await, 200);
    assert_eq!(send(&wrong, &house.a, Method::DELETE, "/silent").await, 405);
    assert_eq!(counters.of(WITHOUT_TENANT), 2);
    // Who has something to say hears that nobody listens.
    assert_eq!(send(&wrong, &house.a, Method::POST, "/says").await, 500);
    assert_eq!(send(&wrong, &house.a, Method::POST, "/may-say").await, 202);
    assert!(house.entries(&house.a).await.is_empty());

    // In the right one a request that belongs to no tenant never comes to the layer.
    let right = app(&house, routes(), layer(&house));
    let before = counters.of(WITHOUT_TENANT);
    let mut unknown = request(&house.a, Method::POST, "/silent");
    unknown.headers_mut().remove("authorization");
    assert_eq!(right.clone().oneshot(unknown).await.unwrap().status(), 401);
    assert_eq!(send(&right, &house.a, Method::POST, "/silent").await, 200);
    assert_eq!(counters.of(WITHOUT_TENANT), before);
    assert_eq!(house.entries(&house.a).await.len(), 1);
}
