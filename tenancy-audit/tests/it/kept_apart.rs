//! What may name a person is kept apart, whoever says it: it can be erased.

use std::sync::Arc;

use axum::{Router, routing::post};
use http::Method;
use serde_json::json;

use crate::{
    erasure::Sealing,
    layer::{app, send},
    verify::export,
};
use tenancy_audit::{
    AuditQuery, ExportFormat, Verdict,
    http::{AuditLayer, AuditNote},
};
use tenancy_core::Subject;

fn lead() -> Subject {
    Subject::parse("lead:7").unwrap()
}

#[tokio::test]
async fn what_a_handler_says_of_another_person_is_erased_with_that_person() {
    let sealing = Sealing::new().await;
    let (house, a) = (&sealing.house, &sealing.house.a);
    let renames = |note: AuditNote| async move {
        note.action("lead.renamed").about(lead());
        note.personal("email", "ann@example.com");
        note.personal_change("name", "Ann Before", "Ann Behind");
        note.change("stage", "new", "won");
    };
    let layer = AuditLayer::new(Arc::new(sealing.audit.clone()));
    let router = app(house, Router::new().route("/leads", post(renames)), layer);
    assert_eq!(send(&router, a, Method::POST, "/leads").await, 200);

    let stored = String::from_utf8(export(house, a).await).unwrap();
    for clear in ["ann@", "Ann Before", "Ann Behind", "192.0.2.7"] {
        assert!(!stored.contains(clear), "{clear}");
    }
    let changes = json!({ "stage": { "before": "new", "after": "won" } });
    let shown = sealing.revealed(a, "lead.renamed").await;
    assert_eq!(shown.meta["changes"], changes);
    assert_eq!(shown.personal_detail("email").unwrap(), "ann@example.com");
    let name = json!({ "name": { "before": "Ann Before", "after": "Ann Behind" } });
    assert_eq!(shown.personal_detail("changes"), Some(&name));

    sealing.log.erase_subject(a, &lead()).await.unwrap();
    let shown = sealing.revealed(a, "lead.renamed").await;
    let Verdict::Erased(mut names) = shown.verify() else {
        panic!("{:?}", shown.verify());
    };
    names.sort();
    assert_eq!(names, ["changes", "email"]);
    assert_eq!(shown.meta["changes"], changes);
    // It is the actor's.
    assert_eq!(shown.origin().ip.as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn what_an_export_looked_for_is_no_part_of_the_log_in_clear() {
    let sealing = Sealing::new().await;
    let (house, a) = (&sealing.house, &sealing.house.a);
    let query: AuditQuery = "action:lead.* ann@example.com -carol".parse().unwrap();
    let export = sealing.log.export(a, &query, ExportFormat::Csv);
    drop(export.await.unwrap());
    let stored = format!("{:?}", house.entries(a).await[0].meta);
    assert!(
        !stored.contains("ann@") && !stored.contains("carol"),
        "{stored}"
    );
    let shown = sealing.revealed(a, "audit.exported").await;
    assert_eq!(shown.meta["filters"], json!({ "action_prefix": "lead." }));
    let looked_for = json!({ "text": ["ann@example.com"], "except": [{ "text": "carol" }] });
    assert_eq!(shown.personal_detail("filters"), Some(&looked_for));
}
