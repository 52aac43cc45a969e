//! What a store does with the keys of drafts.

use tenancy_core::{Event, TenantCtx, TenantDb};

use super::conformance::all;
use crate::{AuditStore, AuditWriter, ErrorKind, error::code};

pub(super) async fn writes_once(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    db: &TenantDb,
    a: &TenantCtx,
    b: &TenantCtx,
) -> Result<(), crate::Error> {
    let event = |at: u32| {
        Event::new("suite.once")
            .meta("at", at)
            .idempotency_key("key")
    };
    let count = |entries: Vec<crate::Entry>| {
        let once = |entry: &&crate::Entry| entry.action == "suite.once";
        entries.iter().filter(once).count()
    };
    let first = writer.record_entry(a, event(1)).await?;
    let again = writer.record_entry(a, event(1)).await?;
    assert_eq!(first, again, "the same under its key is the first entry");
    assert_eq!(count(all(store, a).await?), 1, "and is stored once");

    let other = writer.record_entry(a, event(2)).await;
    let refused = |error: &crate::Error| {
        error.kind() == ErrorKind::Conflict && error.code() == code::KEY_REUSED
    };
    assert!(
        other.is_err_and(|error| refused(&error)),
        "a key stands for one content"
    );
    let foreign = writer.record_entry(b, event(2)).await?;
    assert_ne!(foreign, first, "each tenant has keys of its own");

    let mut tx = db.write(a).await?;
    let plain = Event::new("suite.once");
    let batch = vec![
        plain.clone().idempotency_key("fresh"),
        event(2),
        plain.clone(),
    ];
    let refusal = writer.record_batch_in(&mut tx, batch).await;
    assert!(
        refusal.is_err_and(|error| refused(&error)),
        "one key that is used refuses the batch"
    );
    let twice = vec![
        plain.clone().idempotency_key("fresh"),
        event(1),
        plain.idempotency_key("fresh"),
    ];
    let ids = writer.record_batch_in(&mut tx, twice).await?;
    tx.commit().await?;
    let [one, two, three] = *ids else {
        return Err(crate::Error::invalid("suite", "an id for each draft"));
    };
    assert_eq!((two, three), (first, one), "also within a batch");
    assert_eq!(
        count(all(store, a).await?),
        2,
        "and leaves the transaction usable, with nothing of the refused batch"
    );
    Ok(())
}
