//! What the limits let through, the table takes.

use std::sync::Arc;

use tenancy_audit::{Limits, Oversize};
use tenancy_core::{AuditSink as _, Event, testing::FakeSubjectCipher};

use crate::support::House;

fn most() -> Limits {
    let mut limits = Limits::default();
    limits.targets = usize::MAX;
    limits.target_id_bytes = usize::MAX;
    limits.meta_bytes = usize::MAX;
    limits.meta_items = usize::MAX;
    limits.meta_key_bytes = usize::MAX;
    limits.meta_depth = usize::MAX;
    limits
}

/// With as many targets as there may be, and details whose names have so many bytes; numbers and text fill what
/// is left for `meta`.
fn full(details: usize, name: usize) -> Event {
    let event = (0..256).fold(Event::new("thing.made"), |event, at| {
        event.target("thing", format!("{at:0>512}"))
    });
    let event = (0..details).fold(event, |event, at| {
        event.personal(format!("{at:0>name$}"), "x".repeat(40))
    });
    let left = 256 * 1024 - details * (name + 40) - 100;
    let numbers = left.min(100_000) / 8;
    event
        .meta("items", (0..numbers).collect::<Vec<_>>())
        .meta("text", "text ".repeat((left - numbers * 8) / 5))
}

#[tokio::test]
async fn the_largest_events_that_limits_let_through_are_stored() {
    let house = House::new().await;
    let plain = house.audit.clone().with_limits(most());
    let sealed = plain
        .clone()
        .with_cipher(Arc::new(FakeSubjectCipher::new()));
    let cutting = plain
        .clone()
        .with_limits(most().with_oversize(Oversize::Truncate));
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    // A cipher seals the details of an event together, and takes 64 KiB.
    for (audit, stored) in [
        (&plain, [(0, 1), (1_024, 128), (128, 1_024)]),
        (&sealed, [(0, 1), (256, 60), (512, 8)]),
    ] {
        for (details, name) in stored {
            audit
                .record_in(&mut tx, full(details, name))
                .await
                .unwrap_or_else(|error| panic!("{details} details: {error:?}"));
        }
        for (details, name) in [(1_025, 20), (1_024, 129), (3_000, 20)] {
            let refused = audit.record_in(&mut tx, full(details, name)).await;
            assert_eq!(refused.unwrap_err().code(), "audit_details_too_many");
        }
    }
    let cut = cutting.record_in(&mut tx, full(3_000, 20)).await;
    cut.unwrap();
    tx.commit().await.unwrap();
    let entries = house.entries(&house.a).await;
    assert_eq!(entries.len(), 7);
    let cut = entries.iter().filter(|entry| entry.truncated);
    assert_eq!(
        cut.map(|entry| entry.personal.len()).collect::<Vec<_>>(),
        [1_024]
    );
}
