//! What recording costs on the wire, counted there and not by a clock.

use tenancy_audit::{BufferOptions, BufferedAudit, PgAuditLog};
use tenancy_core::{AuditSink as _, DbOptions, Event, TenantDb};
use tenancy_testkit::Proxy;

use crate::support::House;

/// A log behind a proxy, on one connection.
async fn behind_a_proxy(house: &House) -> (Proxy, TenantDb, PgAuditLog) {
    let proxy = Proxy::start(house.db.server.app_url()).await.unwrap();
    let options = DbOptions::default().with_max_connections(1);
    let db = TenantDb::connect_with(proxy.url(), options).await.unwrap();
    let audit = PgAuditLog::new(db.clone());
    (proxy, db, audit)
}

fn events(count: usize) -> Vec<Event> {
    let event = |at| Event::new("thing.made").target("thing", at).meta("at", at);
    (0..count).map(event).collect()
}

#[tokio::test]
async fn an_entry_of_a_transaction_costs_one_round_trip_and_so_does_a_batch() {
    let house = House::new().await;
    let (proxy, db, audit) = behind_a_proxy(&house).await;
    let mut tx = db.write(&house.a).await.unwrap();
    // The statements are prepared once a connection.
    audit
        .record_in(&mut tx, Event::new("thing.made"))
        .await
        .unwrap();
    audit.record_batch_in(&mut tx, events(2)).await.unwrap();
    let (one, round_trips) = proxy
        .awaited(audit.record_in(&mut tx, Event::new("thing.made")))
        .await;
    one.unwrap();
    assert_eq!(round_trips, 1, "an entry");
    let (batch, round_trips) = proxy
        .awaited(audit.record_batch_in(&mut tx, events(100)))
        .await;
    batch.unwrap();
    assert_eq!(round_trips, 1, "a hundred");
    tx.commit().await.unwrap();
    assert_eq!(house.entries(&house.a).await.len(), 104);
}

#[tokio::test]
async fn the_buffer_writes_a_thousand_entries_with_few_requests() {
    let house = House::new().await;
    let (proxy, _db, audit) = behind_a_proxy(&house).await;
    let buffered = BufferedAudit::new(audit.writer().clone(), BufferOptions::default());
    proxy.take_log();
    for event in events(1_000) {
        buffered.record(&house.a, event).await.unwrap();
    }
    let stats = buffered.shutdown().await.unwrap();
    assert_eq!((stats.written, stats.lost), (1_000, 0));
    let asked = proxy.take_log().len();
    assert!(
        (1..=100).contains(&asked),
        "{asked} requests for 1,000 entries"
    );
}
