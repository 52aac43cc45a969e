//! Pages: each entry once, and a cursor of its search and tenant only.

use crate::support::{House, meta_at};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use proptest::{prelude::*, test_runner::TestRunner};
use tenancy_audit::{AuditQuery, Order};
use tenancy_core::{AuditSink as _, Event, Outcome};

#[tokio::test]
async fn walking_the_pages_meets_every_entry_once_whatever_the_size() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let outcome = |at: i64| [Outcome::Allowed, Outcome::Denied][usize::from(at % 3 == 0)];
    let events = (0..60).map(|at| Event::new("thing.made").meta("at", at).outcome(outcome(at)));
    house
        .audit
        .record_batch_in(&mut tx, events.collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let runtime = tokio::runtime::Handle::current();
    let walks = tokio::task::spawn_blocking(move || {
        let strategy = (1_u16..70, any::<bool>(), any::<bool>());
        let mut runner = TestRunner::new(ProptestConfig {
            failure_persistence: None,
            cases: 40,
            ..ProptestConfig::default()
        });
        runner.run(&strategy, |(size, oldest_first, only_denied)| {
            let mut query = AuditQuery::new().with_limit(size);
            if oldest_first {
                query = query.with_order(Order::OldestFirst);
            }
            if only_denied {
                query = query.with_outcome(Outcome::Denied);
            }
            let mut expected: Vec<i64> = (0..60).filter(|at| !only_denied || at % 3 == 0).collect();
            if !oldest_first {
                expected.reverse();
            }
            let walked = runtime.block_on(async {
                let mut walked = Vec::new();
                loop {
                    let page = house.log.search(&house.a, &query).await.unwrap();
                    walked.extend(page.entries.iter().map(meta_at));
                    assert!(walked.len() <= 60, "an entry is on two pages");
                    let Some(next) = page.next else { return walked };
                    query.after = Some(next.to_string().parse().unwrap());
                }
            });
            prop_assert_eq!(walked, expected);
            Ok(())
        })
    });
    walks.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cursor_of_another_search_or_tenant_is_refused() {
    let house = House::new().await;
    for _ in 0..3 {
        house
            .audit
            .record(&house.a, Event::new("thing.made"))
            .await
            .unwrap();
    }
    let query = AuditQuery::new().with_limit(1);
    let cursor = house
        .log
        .search(&house.a, &query)
        .await
        .unwrap()
        .next
        .unwrap();
    let query = query.with_after(cursor);
    assert_eq!(
        house
            .log
            .search(&house.a, &query)
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
    let other = query.clone().with_outcome(Outcome::Allowed);
    for (ctx, query) in [(&house.a, &other), (&house.b, &query)] {
        let error = house.log.search(ctx, query).await.unwrap_err();
        assert_eq!(error.code(), "audit_cursor_mismatch");
    }
}

#[tokio::test]
async fn a_cursor_that_was_forged_well_shows_another_page_of_the_same_log() {
    let house = House::new().await;
    for ctx in [&house.a, &house.b, &house.a] {
        house
            .audit
            .record(ctx, Event::new("thing.made"))
            .await
            .unwrap();
    }
    let query = AuditQuery::new().with_limit(1);
    let next = house
        .log
        .search(&house.a, &query)
        .await
        .unwrap()
        .next
        .unwrap();
    let theirs = house.entries(&house.b).await[0].id.as_uuid();
    for last in [theirs, uuid::Uuid::max(), uuid::Uuid::nil()] {
        // A version, where the page ended, and what names the search.
        let mut bytes = BASE64.decode(next.to_string()).unwrap();
        bytes[1..17].copy_from_slice(last.as_bytes());
        let forged = query
            .clone()
            .with_after(BASE64.encode(bytes).parse().unwrap());
        let page = house.log.search(&house.a, &forged).await.unwrap();
        assert!(
            page.entries
                .iter()
                .all(|entry| entry.tenant == house.a.tenant())
        );
        assert!(page.entries.len() <= 1);
    }
}
