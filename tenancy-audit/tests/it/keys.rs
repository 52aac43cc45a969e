//! Events with a key are recorded once, whoever sends them how often and at what time.

use std::collections::HashSet;

use crate::support::House;
use tenancy_audit::{BufferOptions, BufferedAudit, ErrorKind, IdempotencyKeys};
use tenancy_core::{AuditSink as _, Event};

fn event(key: &str) -> Event {
    Event::new("import.finished")
        .meta("rows", 7)
        .personal("email", "ann@example.com")
        .idempotency_key(key)
}

async fn keys(house: &House) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM tenancy.audit_keys")
        .fetch_one(&house.superuser().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn many_who_send_the_same_at_once_leave_one_entry() {
    let house = House::new().await;
    let sends = (0..16).map(|_| house.audit.record_entry(&house.a, event("import:1")));
    let ids: HashSet<_> = futures_util::future::join_all(sends)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let entries = house.entries(&house.a).await;
    assert_eq!((ids.len(), entries.len()), (1, 1));
    assert!(ids.contains(&entries[0].id));
    assert!(house.entries(&house.b).await.is_empty());
}

#[tokio::test]
async fn a_key_is_free_again_when_its_transaction_was_rolled_back() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let undone = house
        .audit
        .record_entry_in(&mut tx, event("import:1"))
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(keys(&house).await, 0);
    let id = house
        .audit
        .record_entry(&house.a, event("import:1"))
        .await
        .unwrap();
    assert_ne!(id, undone);
    assert_eq!(house.entries(&house.a).await[0].id, id);
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_a_conflict_and_the_transaction_goes_on() {
    let house = House::new().await;
    let member = house.member(&house.a).await;
    house
        .audit
        .record(&house.a, event("import:1"))
        .await
        .unwrap();
    // Whom it is about is not compared: a hash of it would outlive its erasure.
    let again = event("import:1").personal("email", "bob@example.com");
    house.audit.record(&house.a, again).await.unwrap();
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    for other in [
        event("import:1").meta("rows", 8),
        event("import:1").target("file", 1),
        event("import:1").personal("phone", "1"),
    ] {
        let refused = house.audit.record_in(&mut tx, other).await.unwrap_err();
        assert_eq!(refused.code(), "audit_key_reused");
        assert_eq!(refused.retry(), tenancy_core::Retry::Never);
    }
    house
        .audit
        .record_in(&mut tx, event("import:2"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let by_another = house.audit.record(&member, event("import:1")).await;
    assert_eq!(by_another.unwrap_err().code(), "audit_key_reused");
    assert_eq!(house.entries(&house.a).await.len(), 2);

    for key in ["", &"x".repeat(256)] {
        let refused = house.audit.record_entry(&house.a, event(key)).await;
        let error = refused.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::InvalidInput, "audit_key_invalid")
        );
    }
}

#[tokio::test]
async fn the_buffered_log_records_once_too_and_counts_what_it_could_not() {
    let house = House::new().await;
    let audit = BufferedAudit::new(house.audit.writer().clone(), BufferOptions::default());
    for _ in 0..10 {
        audit.record(&house.a, event("import:1")).await.unwrap();
    }
    let other = event("import:1").meta("rows", 8);
    audit.record(&house.a, other).await.unwrap();
    audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    let stats = audit.shutdown().await.unwrap();
    assert_eq!((stats.accepted, stats.written, stats.lost), (12, 11, 1));
    assert_eq!(house.entries(&house.a).await.len(), 2);
}

#[tokio::test]
async fn keys_say_nothing_and_are_forgotten_after_their_time() {
    let house = House::new().await;
    for (ctx, key) in [(&house.a, "old"), (&house.b, "old"), (&house.a, "young")] {
        house.audit.record(ctx, event(key)).await.unwrap();
    }
    let superuser = house.superuser().await;
    let all: Vec<String> = sqlx::query_scalar("SELECT k::text FROM tenancy.audit_keys k")
        .fetch_all(&superuser)
        .await
        .unwrap();
    assert!(!all.concat().contains("old"), "{all:?}");
    let foreign = house
        .as_app(&house.b, "SELECT 1 FROM tenancy.audit_keys")
        .await;
    assert_eq!(foreign, Ok(1), "a tenant sees its own keys only");

    sqlx::query(
        "UPDATE tenancy.audit_keys SET created_at = created_at - interval '8 days'
         WHERE entry_id NOT IN (SELECT id FROM tenancy.audit_logs ORDER BY id DESC LIMIT 1)",
    )
    .execute(&superuser)
    .await
    .unwrap();
    let worker = IdempotencyKeys::new(house.db.worker.clone());
    assert_eq!(worker.clone().with_days(9).forget().await.unwrap(), 0);
    assert_eq!(worker.forget().await.unwrap(), 2);
    assert_eq!(keys(&house).await, 1);
    house.audit.record(&house.a, event("old")).await.unwrap();
    house.audit.record(&house.a, event("young")).await.unwrap();
    assert_eq!(house.entries(&house.a).await.len(), 3);

    for sql in [
        "DELETE FROM tenancy.audit_keys",
        "UPDATE tenancy.audit_keys SET entry_id = tenant_id",
        "SELECT tenancy.audit_forget_keys(1, 1)",
    ] {
        assert_eq!(
            house.as_app(&house.a, sql).await,
            Err("42501".to_owned()),
            "{sql}"
        );
    }
}
