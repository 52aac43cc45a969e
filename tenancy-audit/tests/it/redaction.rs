//! No secret reaches the table, under whatever key it comes.

use crate::support::House;
use serde_json::json;
use tenancy_audit::{Limits, Masked, Oversize, PgAuditLog, Redaction};
use tenancy_core::{AuditSink as _, Event, SecretText};

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27uhbUJU1p1r";

#[tokio::test]
async fn secrets_are_nowhere_in_the_row() {
    let house = House::new().await;
    let mut event = Event::new("login.tried")
        .target("link", format!("https://host/reset?token={JWT}"))
        .meta(
            "body",
            json!({ "user": { "Password": "hunter2-plain" }, "notes": ["hunter2-plain?", JWT] }),
        )
        .meta("unusual", "postgres://app:hunter2-url@db/host")
        .meta("card", "4111 1111 1111 1111");
    event.origin.user_agent = Some(format!("agent {JWT}"));
    house.audit.record(&house.a, event).await.unwrap();

    let row: String = sqlx::query_scalar("SELECT a::text FROM tenancy.audit_logs a")
        .fetch_one(&house.superuser().await)
        .await
        .unwrap();
    for secret in [
        JWT,
        "dBjftJeZ4",
        "hunter2-url",
        "4111 1111",
        "\"hunter2-plain\"",
    ] {
        assert!(!row.contains(secret), "{secret} in {row}");
    }
    let entry = &house.entries(&house.a).await[0];
    assert!(entry.redacted && !entry.truncated && entry.verify().is_intact());
    assert_eq!(entry.meta["body"]["user"]["Password"], "[redacted]");
    assert_eq!(
        entry.origin().user_agent.as_deref(),
        Some("agent [redacted:jwt]")
    );
}

#[tokio::test]
async fn a_host_sets_its_own_limits_and_keys() {
    let house = House::new().await;
    let log = PgAuditLog::new(house.db.app.clone())
        .with_limits(
            Limits::default()
                .with_oversize(Oversize::Truncate)
                .with_meta_bytes(1_000),
        )
        .with_redaction(Redaction::new().with_key("iban"));
    let event = Event::new("thing.made")
        .meta("IBAN", "DE02")
        .meta("text", "ü".repeat(10 << 20));
    log.record(&house.a, event).await.unwrap();
    let entry = &house.entries(&house.a).await[0];
    assert_eq!(entry.meta["IBAN"], "[redacted]");
    assert!(entry.truncated && entry.redacted);
    assert!(entry.meta["text"].as_str().unwrap().len() <= 1_000);
    assert!(entry.verify().is_intact());
}

#[tokio::test]
async fn what_callers_say_about_themselves_is_cut_off_and_never_refused() {
    let house = House::new().await;
    let mut event = Event::new("thing.made");
    event.origin.user_agent = Some("é\0".repeat(100_000));
    event.origin.ip = Some("x".repeat(1_000));
    event.origin.trace_id = Some("y".repeat(1_000));
    house.audit.record(&house.a, event).await.unwrap();
    let entry = &house.entries(&house.a).await[0];
    assert!(entry.truncated && entry.verify().is_intact());
    assert!(entry.origin().user_agent.unwrap().len() <= 512);
}

#[tokio::test]
async fn an_entry_belongs_to_the_trace_of_its_context_unless_it_names_another() {
    let house = House::new().await;
    let trace: tenancy_core::TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    let ctx = house.a.clone().with_trace(trace);
    let mut event = Event::new("thing.made");
    house.audit.record(&ctx, event.clone()).await.unwrap();
    let traced = |entry: &tenancy_audit::Entry| entry.origin().trace_id;
    let own = trace.to_string();
    assert_eq!(traced(&house.entries(&house.a).await[0]), Some(own.clone()));
    event.origin.trace_id = Some("another".to_owned());
    house.audit.record(&ctx, event).await.unwrap();
    let entries = house.entries(&house.a).await;
    let other = Some("another".to_owned());
    assert!(entries.iter().any(|entry| traced(entry) == other));
}

#[tokio::test]
async fn personal_details_are_kept_apart_and_redacted() {
    let house = House::new().await;
    let event = Event::new("member.invited")
        .personal("email", "anna@example.com")
        .personal("password", "hunter2");
    house.audit.record(&house.a, event).await.unwrap();
    let entry = &house.entries(&house.a).await[0];
    assert_eq!(
        entry.personal_detail("email"),
        Some(&json!("anna@example.com"))
    );
    assert_eq!(
        entry.personal_detail("password"),
        Some(&json!("[redacted]"))
    );
    assert!(entry.verify().is_intact());

    let taken = Event::new("thing.made").personal("ip", "192.0.2.1");
    let refused = house.audit.record(&house.a, taken).await.unwrap_err();
    assert_eq!(refused.code(), "audit_personal_reserved");
}

#[tokio::test]
async fn what_a_type_keeps_back_is_marked_as_redacted() {
    #[derive(serde::Serialize)]
    struct Login {
        user: &'static str,
        word: Masked<&'static str>,
    }
    let house = House::new().await;
    let login = Login {
        user: "ann",
        word: Masked::new("hunter2"),
    };
    let event = Event::new("login.tried")
        .meta("login", serde_json::to_value(&login).unwrap())
        .meta("key", SecretText::new("hunter2"));
    house.audit.record(&house.a, event).await.unwrap();
    let entry = &house.entries(&house.a).await[0];
    let kept = json!({ "user": "ann", "word": "[redacted]" });
    assert_eq!(
        (&entry.meta["login"], &entry.meta["key"]),
        (&kept, &json!("[redacted]"))
    );
    assert!(entry.redacted && entry.verify().is_intact());
    assert_eq!(format!("{:?}", login.word), "[redacted]");
}

#[test]
fn a_lone_surrogate_ends_at_the_parser() {
    assert!(serde_json::from_str::<serde_json::Value>(r#"{"a":"\ud800"}"#).is_err());
}
