//! Actions with a schema.

use crate::support::House;
use serde_json::{Value, json};
use tenancy_audit::{ErrorKind, EventSchemas, PgAuditLog};
use tenancy_core::{AuditSink as _, Event, Outcome};

fn renamed() -> Value {
    json!({
        "properties": {
            "outcome": { "enum": ["allowed", "denied"] },
            "targets": {
                "minItems": 1,
                "items": { "properties": { "kind": { "const": "template" } } }
            },
            "meta": {
                "required": ["name"],
                "properties": {
                    "name": { "type": "string", "pattern": "^[a-z]+$" },
                    "size": { "type": "integer", "maximum": 10 },
                },
                "additionalProperties": false,
            },
            "personal": { "propertyNames": { "enum": ["email"] } },
        },
    })
}

fn good() -> Event {
    Event::new("template.renamed")
        .target("template", 7)
        .meta("name", "welcome")
}

#[tokio::test]
async fn an_event_that_does_not_fit_is_refused_by_the_place_and_nothing_is_repeated() {
    let house = House::new().await;
    let schemas = EventSchemas::new()
        .with_action("template.renamed", 1, &json!(false))
        .and_then(|schemas| schemas.with_action("template.renamed", 2, &renamed()))
        .unwrap();
    let log = PgAuditLog::new(house.db.app.clone()).with_schemas(schemas);
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    for (event, place) in [
        (
            good().meta("name", "HUNTER2"),
            "`/meta/name` breaks `pattern`",
        ),
        (good().meta("size", "HUNTER2"), "`/meta/size` breaks `type`"),
        (good().meta("size", 11), "`/meta/size` breaks `maximum`"),
        (
            good().meta("more", "HUNTER2"),
            "`/meta` breaks `additionalProperties`",
        ),
        (
            good().target("HUNTER2", 1),
            "`/targets/1/kind` breaks `const`",
        ),
        (good().outcome(Outcome::Error), "`/outcome` breaks `enum`"),
        (
            good().personal("phone", "HUNTER2"),
            "`/personal` breaks `propertyNames`",
        ),
        (
            Event::new("template.renamed").target("template", 7),
            "`/meta` breaks `required`",
        ),
    ] {
        let refused = log.record_in(&mut tx, event.clone()).await.unwrap_err();
        let text = refused.to_string();
        assert_eq!(refused.code(), "audit_schema_violated", "{event:?}");
        assert_eq!(refused.retry(), tenancy_core::Retry::Never);
        assert!(text.contains(place), "{text}");
        assert!(!text.contains("HUNTER2"), "{text}");
        let alone = log.record(&house.a, event).await.unwrap_err();
        assert_eq!(alone.code(), "audit_schema_violated");
    }
    log.record_in(&mut tx, good().personal("email", "ann@example.com"))
        .await
        .unwrap();
    log.record_in(&mut tx, Event::new("other.action").meta("name", 1))
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let entries = house.entries(&house.a).await;
    assert_eq!(entries.len(), 2);
    let of = |action: &str| {
        let entry = entries.iter().find(|entry| entry.action == action);
        entry.unwrap().context.get("schema").cloned()
    };
    assert_eq!(
        (of("template.renamed"), of("other.action")),
        (Some(json!(2)), None)
    );
    assert!(entries.iter().all(|entry| entry.verify().is_intact()));
}

#[test]
fn what_is_no_schema_or_wants_to_fetch_one_is_refused_when_it_is_registered() {
    for schema in [
        json!({ "type": 7 }),
        json!({ "$ref": "https://evil.example/schema.json" }),
        json!({ "$ref": "file:///etc/passwd" }),
        json!({ "properties": { "meta": { "pattern": "(?<=a)(a+)+$" } } }),
        json!({ "pattern": "(x{1000}){1000}" }),
    ] {
        let error = EventSchemas::new()
            .with_action("thing.made", 1, &schema)
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::InvalidInput, "audit_schema_invalid"),
            "{schema}"
        );
    }
    let error = EventSchemas::new()
        .with_action("no action", 1, &json!({}))
        .unwrap_err();
    assert_eq!(error.code(), "action_invalid");
}
