//! Enqueuing and looking.

use std::collections::HashSet;

use serde_json::json;
use tenancy_core::{JobId, NewJob};

use super::{Fixture, KIND, queue, spec};
use crate::{Error, JobQuery, JobState, Verdict};

/// The same key is the same job: later, within one call, and not in another tenant.
pub(super) async fn a_key_is_one_job(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_keys");
    let keyed = |key: &str| {
        spec(
            &queue,
            NewJob::new(KIND, json!(1)).with_idempotency_key(key),
        )
    };
    let bulk = vec![
        keyed("x")?,
        keyed("y")?,
        spec(&queue, NewJob::new(KIND, json!(2)))?,
        keyed("x")?,
    ];
    let ids = f.ledger.enqueue(&f.a, bulk).await?;
    assert_eq!(ids.first(), ids.get(3), "the same key within one call");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3);
    let again = f
        .ledger
        .enqueue(&f.a, vec![keyed("y")?, keyed("z")?])
        .await?;
    assert_eq!(again.first(), ids.get(1), "the same key in a later call");
    let other = f.ledger.enqueue(&f.b, vec![keyed("x")?]).await?;
    assert_ne!(
        other.first(),
        ids.first(),
        "another tenant's key is another key"
    );

    let worker = f.worker(&queue).await?;
    let claimed = f.claim(worker, &queue, 100).await?;
    assert_eq!(
        claimed.len(),
        5,
        "x, y, z and the one without a key, and the other tenant's x"
    );
    for job in claimed {
        assert!(
            !f.settle(worker, job.job, Verdict::Succeeded(json!(null)))
                .await?
        );
    }
    let after_end = f.ledger.enqueue(&f.a, vec![keyed("x")?]).await?;
    assert_eq!(after_end.first(), ids.first(), "a key outlives its job");
    assert!(f.claim(worker, &queue, 100).await?.is_empty());
    Ok(())
}

/// A job exists exactly when the transaction that enqueued it was committed.
pub(super) async fn a_rolled_back_enqueue_is_no_job(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_rollback");
    let spec = || {
        spec(
            &queue,
            NewJob::new(KIND, json!(1)).with_idempotency_key("once"),
        )
    };
    let mut tx = f.db.write(&f.a).await?;
    let lost = f.ledger.enqueue_in(&mut tx, vec![spec()?]).await?;
    tx.rollback().await?;
    let worker = f.worker(&queue).await?;
    assert!(f.claim(worker, &queue, 10).await?.is_empty());

    let mut tx = f.db.write(&f.a).await?;
    let kept = f.ledger.enqueue_in(&mut tx, vec![spec()?]).await?;
    tx.commit().await?;
    assert_ne!(kept, lost, "the key of what was rolled back is free");
    assert_eq!(f.claim(worker, &queue, 10).await?.len(), 1);
    Ok(())
}

/// Nothing of a tenant's queue shows in another's.
pub(super) async fn tenants_see_their_own_jobs_only(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_views");
    let mine = f.add(&f.a, &queue, 3).await?;
    let query = || JobQuery::default().with_queue(queue.clone()).with_limit(2);
    for id in &mine {
        assert!(f.ledger.get(&f.b, *id).await?.is_none());
        assert!(f.ledger.checkpoint(&f.b, *id).await?.is_none());
    }
    assert!(f.ledger.list(&f.b, &query()).await?.is_empty());
    let page = f.ledger.list(&f.a, &query()).await?;
    let ids: Vec<JobId> = page.iter().map(|job| job.id).collect();
    let newest: Vec<JobId> = mine.iter().rev().take(2).copied().collect();
    assert_eq!(ids, newest, "the newest first");
    let rest = match ids.last() {
        Some(last) => f.ledger.list(&f.a, &query().with_before(*last)).await?,
        None => Vec::new(),
    };
    assert_eq!(
        rest.iter().map(|job| job.id).collect::<Vec<_>>(),
        mine.get(..1).unwrap_or_default()
    );
    let ready = query().with_states([JobState::Failed]);
    assert!(f.ledger.list(&f.a, &ready).await?.is_empty());
    Ok(())
}
