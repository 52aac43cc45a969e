//! Comparing entries with their hashes: it looks at all that a query means, or says why it can't.

use crate::{erasure::Sealing, seals::record, support::House};
use tenancy_audit::{AuditQuery, ErrorKind};
use tenancy_core::{AuditSink as _, Event};

#[tokio::test]
async fn a_verification_by_address_is_refused_where_addresses_are_sealed() {
    let sealing = Sealing::new().await;
    let house = &sealing.house;
    let mut event = Event::new("thing.made");
    event.origin.ip = Some("192.0.2.7".to_owned());
    house.audit.record(&house.b, event.clone()).await.unwrap();
    sealing.audit.record(&house.a, event).await.unwrap();
    for text in ["ip:192.0.2.7", "-ip:192.0.2.0/24"] {
        let query: AuditQuery = text.parse().unwrap();
        // With the cipher, and by who has none.
        for log in [&sealing.log, &house.log] {
            let refused = log.verify(&house.a, &query).await.unwrap_err();
            assert_eq!(
                (refused.kind(), refused.code()),
                (ErrorKind::InvalidInput, "audit_ip_sealed"),
                "{text}: it would look at nothing and find nothing wrong"
            );
        }
        // Where they stand in clear they are looked for.
        let found = house.log.verify(&house.b, &query).await.unwrap();
        assert_eq!(found.checked, u64::from(text.starts_with("ip:")), "{text}");
    }
}

#[tokio::test]
async fn a_verification_begins_at_the_beginning_whatever_page_the_query_is_at() {
    let house = House::new().await;
    record(&house, &house.a, 7).await;
    let query = AuditQuery::new().with_limit(3);
    let first = house.log.search(&house.a, &query).await.unwrap();
    let later = query.with_after(first.next.unwrap());
    let found = house.log.verify(&house.a, &later).await.unwrap();
    assert_eq!((found.checked, found.changed), (7, 0));

    // A cursor of another search is none of its business either.
    let other = later.with_outcome(tenancy_core::Outcome::Allowed);
    let found = house.log.verify(&house.a, &other).await.unwrap();
    assert_eq!(found.checked, 7);
}
