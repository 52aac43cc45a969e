//! What every target of a stream has to do.

use chrono::Utc;
use tenancy_core::{Event, TenantCtx};

use crate::{AuditEntryId, AuditWriter, Entry, Error, StreamTarget};

/// Runs the suite on a target that works; `told` says what its receiver was told, in the order it came.
///
/// # Panics
/// With what the target does wrong.
#[expect(clippy::panic, reason = "a suite says what is wrong by panicking")]
pub async fn stream_target(
    target: &dyn StreamTarget,
    writer: &AuditWriter,
    ctx: &TenantCtx,
    told: impl Fn() -> Vec<AuditEntryId>,
) {
    if let Err(error) = delivers(target, writer, ctx, &told).await {
        panic!("the target failed where it should not: {error}");
    }
}

async fn delivers(
    target: &dyn StreamTarget,
    writer: &AuditWriter,
    ctx: &TenantCtx,
    told: &impl Fn() -> Vec<AuditEntryId>,
) -> Result<(), Error> {
    let mut entries = Vec::new();
    for at in 0..25 {
        let record = writer
            .prepare(ctx, Event::new("suite.told").meta("at", at))
            .await?;
        entries.push(Entry::new(record.record, Utc::now()));
    }
    let ids: Vec<AuditEntryId> = entries.iter().map(|entry| entry.id).collect();
    let before = told().len();
    let mut left = entries.as_slice();
    while !left.is_empty() {
        let taken = target.deliver(left).await?;
        assert!(
            taken >= 1 && taken <= left.len(),
            "it takes some of what it is given"
        );
        left = left.split_at(taken).1;
        let came = told().split_off(before);
        let taken = ids.split_at(ids.len() - left.len()).0;
        assert_eq!(came, taken, "what it says it took, in order");
    }
    // A stream whose process died gives them again.
    let again = target.deliver(&entries).await?;
    assert_eq!(
        told().len(),
        before + ids.len() + again,
        "what comes again is told again"
    );
    Ok(())
}
