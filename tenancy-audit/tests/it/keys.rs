//! Events with a key are recorded once, whoever sends them how often and at what time.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crate::support::House;
use tenancy_audit::{
    AuditStore as _, BufferOptions, BufferedAudit, ErrorKind, IdempotencyKeys, Sealer,
};
use tenancy_core::{AuditSink as _, Event, Outcome, TenantTx};

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
        event("import:1").outcome(Outcome::Denied),
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
async fn a_key_that_somebody_took_for_nothing_or_for_another_entry_keeps_nothing_from_being_recorded()
 {
    let house = House::new().await;
    let old = house.audit.record_entry(&house.a, event("old")).await;
    let old = old.unwrap();
    let superuser = house.superuser().await;
    for entry in [uuid::Uuid::now_v7(), old.as_uuid()] {
        let key = format!("future:{entry}");
        let other = house.audit.record_entry(&house.a, event(&key)).await;
        let other = other.unwrap();
        // The row that the app's login could have put there itself, before the event.
        sqlx::query(
            "WITH gone AS (DELETE FROM tenancy.audit_keys WHERE entry_id = $1 RETURNING *)
             INSERT INTO public.planned SELECT tenant_id, key_hash, $2, content_hash FROM gone",
        )
        .bind(other)
        .bind(entry)
        .execute(&planned(&superuser).await)
        .await
        .unwrap();
        let before = house.entries(&house.a).await.len();
        let planted = house
            .as_app(
                &house.a,
                "INSERT INTO tenancy.audit_keys (tenant_id, key_hash, entry_id, content_hash)
                 SELECT tenant_id, key_hash, entry_id, content_hash FROM public.planned",
            )
            .await;
        assert_eq!(planted, Ok(1));
        sqlx::query("TRUNCATE public.planned")
            .execute(&superuser)
            .await
            .unwrap();
        let id = house
            .audit
            .record_entry(&house.a, event(&key))
            .await
            .unwrap();
        assert!(![entry, other.as_uuid()].contains(&id.as_uuid()));
        assert_eq!(house.entries(&house.a).await.len(), before + 1);
    }
}

/// A table through which the app gets a key's row.
async fn planned(superuser: &sqlx::PgPool) -> sqlx::PgPool {
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS public.planned (tenant_id uuid, key_hash bytea, entry_id uuid, content_hash bytea);
         GRANT SELECT ON public.planned TO tenancy_app",
    )
    .execute(superuser)
    .await
    .unwrap();
    superuser.clone()
}

#[tokio::test]
async fn a_key_says_nothing_about_two_tenants_and_goes_with_its_tenant() {
    let house = House::new().await;
    for ctx in [&house.a, &house.b] {
        house.audit.record(ctx, event("import:1")).await.unwrap();
    }
    let superuser = house.superuser().await;
    let hashes: i64 = sqlx::query_scalar("SELECT count(DISTINCT key_hash) FROM tenancy.audit_keys")
        .fetch_one(&superuser)
        .await
        .unwrap();
    assert_eq!(hashes, 2);
    let mut inside = house.db.operator.owner().await.unwrap();
    let tenant: &'static str =
        format!("SET LOCAL tenancy.tenant_id = '{}'", house.a.tenant()).leak();
    sqlx::raw_sql(tenant).execute(&mut *inside).await.unwrap();
    let gone = sqlx::query("DELETE FROM tenancy.audit_keys")
        .execute(&mut *inside)
        .await
        .unwrap();
    inside.commit().await.unwrap();
    assert_eq!((gone.rows_affected(), keys(&house).await), (1, 1));
}

async fn patience(tx: &mut TenantTx) -> String {
    let patience = sqlx::query_scalar("SHOW lock_timeout");
    patience.fetch_one(&mut **tx).await.unwrap()
}

#[tokio::test]
async fn a_key_that_an_open_transaction_uses_is_busy_and_holds_up_nobody_else() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    house
        .audit
        .record_in(&mut tx, event("import:1"))
        .await
        .unwrap();

    // In a transaction of its own, of whoever waits for the open one.
    let begun = Instant::now();
    let busy = house.audit.record_entry(&house.a, event("import:1")).await;
    let error = busy.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "audit_key_busy")
    );
    assert!(error.retry().is_retryable() && begun.elapsed() < Duration::from_secs(10));

    // In another one, which stays usable and keeps its own patience.
    let mut other = house.db.app.write(&house.a).await.unwrap();
    let own = patience(&mut other).await;
    let batch = vec![event("import:2"), event("import:1"), event("import:3")];
    let error = house
        .audit
        .record_batch_in(&mut other, batch)
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.entries().len()), ("audit_key_busy", 1));
    house
        .audit
        .record_in(&mut other, event("import:2"))
        .await
        .unwrap();
    assert_eq!(patience(&mut other).await, own);
    other.commit().await.unwrap();
    assert_eq!(house.entries(&house.a).await.len(), 1);

    // Behind a buffer, whose other entries go on.
    let options = BufferOptions::default().with_writers(1);
    let audit = BufferedAudit::new(house.audit.writer().clone(), options);
    for at in 0..50 {
        let key = format!("import:{}", at % 25 + 1);
        audit.record(&house.a, event(&key)).await.unwrap();
        audit
            .record(&house.a, Event::new("thing.made"))
            .await
            .unwrap();
    }
    let mut written = 0;
    for _ in 0..400 {
        written = audit.stats().written;
        if written == 98 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(written, 98, "all but the two with the busy key");
    tx.commit().await.unwrap();
    let stats = audit.shutdown().await.unwrap();
    assert_eq!((stats.written, stats.lost), (100, 0));
    let entries = house.entries(&house.a).await;
    let once = entries.iter().filter(|e| e.action == "import.finished");
    assert_eq!(once.count(), 25);
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

#[tokio::test]
async fn a_sealer_that_runs_forgets_keys_that_nobody_forgot() {
    let house = House::new().await;
    for key in ["old", "young"] {
        house.audit.record(&house.a, event(key)).await.unwrap();
    }
    sqlx::query(
        "UPDATE tenancy.audit_keys SET created_at = created_at - interval '31 days'
         WHERE entry_id IN (SELECT id FROM tenancy.audit_logs ORDER BY id LIMIT 1)",
    )
    .execute(&house.superuser().await)
    .await
    .unwrap();
    let (signer, _) = crate::seals::signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    let stop = tokio::time::sleep(Duration::from_millis(500));
    sealer.run(stop).await;
    assert_eq!(keys(&house).await, 1);
}

#[tokio::test]
async fn a_batch_has_one_actor() {
    let house = House::new().await;
    let member = house.member(&house.a).await;
    for ctx in [&house.a, &member] {
        house
            .audit
            .record(ctx, Event::new("thing.made"))
            .await
            .unwrap();
    }
    let mut drafts = Vec::new();
    for entry in house.entries(&house.a).await {
        let mut record = entry.into_record();
        record.id = tenancy_audit::AuditEntryId::new();
        record.content_hash = record.hash();
        drafts.push(record.into());
    }
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let refused = house.store().append_in(&mut tx, &drafts).await.unwrap_err();
    assert_eq!(refused.code(), "audit_batch_mixed");
}
