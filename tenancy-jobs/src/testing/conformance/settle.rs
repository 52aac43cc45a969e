//! Ending tries and jobs.

use std::time::Duration;

use serde_json::json;

use super::{Fixture, queue};
use crate::{Checkpoint, Error, Fault, JobRef, JobState, Settlement, Verdict};

/// A completion by another worker, or of another try, changes nothing.
pub(super) async fn only_the_holder_of_the_try_can_settle(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_fence");
    f.add(&f.a, &queue, 1).await?;
    let (worker, other) = (f.worker(&queue).await?, f.worker(&queue).await?);
    let job = f.claim_one(worker, &queue).await?;
    let done = || Verdict::Succeeded(json!("mine"));
    assert!(f.settle(other, job, done()).await?, "another worker");
    let later = JobRef::new(job.tenant, job.id, job.attempt + 1);
    assert!(f.settle(worker, later, done()).await?, "another try");
    let foreign = JobRef::new(f.b.tenant(), job.id, job.attempt);
    assert!(f.settle(worker, foreign, done()).await?, "another tenant");
    assert_eq!(f.state(&f.a, job.id).await?, Some(JobState::Running));

    let mut tx = f.db.write(&f.a).await?;
    let stale = f
        .ledger
        .settle_in(&mut tx, other, &Settlement::new(job, done()))
        .await?;
    assert!(!stale.is_held());
    let checkpoint = Checkpoint::new(1, None, Some(json!(1)));
    assert!(
        !f.ledger
            .checkpoint_in(&mut tx, other, job, &checkpoint)
            .await?
            .is_held()
    );
    tx.rollback().await?;

    assert!(!f.settle(worker, job, done()).await?, "its own");
    assert!(f.settle(worker, job, done()).await?, "a second time");
    let view = f.ledger.get(&f.a, job.id).await?;
    assert_eq!(view.and_then(|job| job.result), Some(json!("mine")));
    Ok(())
}

/// A retry is another try, later; a release and a resumption are the same one again.
pub(super) async fn a_retry_counts_and_a_release_does_not(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_retry");
    f.add(&f.a, &queue, 1).await?;
    let worker = f.worker(&queue).await?;
    let fault = || Fault::new("suite", "no luck");
    let first = f.claim_one(worker, &queue).await?;
    assert!(!f.settle(worker, first, Verdict::Release).await?);
    let again = f.claim_one(worker, &queue).await?;
    assert_eq!((first.attempt, again.attempt), (1, 1));
    let resume = Verdict::Resume {
        fault: fault(),
        delay: Duration::ZERO,
    };
    assert!(!f.settle(worker, again, resume).await?);
    let third = f.claim_one(worker, &queue).await?;
    assert_eq!(third.attempt, 1);
    let retry = Verdict::Retry {
        fault: fault(),
        delay: Duration::from_millis(200),
    };
    assert!(!f.settle(worker, third, retry).await?);
    assert_eq!(f.state(&f.a, first.id).await?, Some(JobState::Scheduled));
    assert!(f.claim(worker, &queue, 1).await?.is_empty());
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(f.claim_one(worker, &queue).await?.attempt, 2);
    let view = f.ledger.get(&f.a, first.id).await?;
    assert_eq!(view.and_then(|job| job.fault), Some(fault()));
    Ok(())
}

/// Failed and parked jobs are kept whole, with where they were.
pub(super) async fn a_failed_job_can_be_retried_and_keeps_its_checkpoint(
    f: &Fixture,
) -> Result<(), Error> {
    let queue = queue("suite_dead");
    f.add(&f.a, &queue, 1).await?;
    let worker = f.worker(&queue).await?;
    let job = f.claim_one(worker, &queue).await?;
    let checkpoint = Checkpoint::new(7, Some(9), Some(json!({"at": 7})));
    let mut tx = f.db.write(&f.a).await?;
    assert!(
        f.ledger
            .checkpoint_in(&mut tx, worker, job, &checkpoint)
            .await?
            .is_held()
    );
    tx.commit().await?;
    let fault = Fault::new("suite", "for good");
    assert!(
        !f.settle(worker, job, Verdict::Failed(fault.clone()))
            .await?
    );
    let view = f.ledger.get(&f.a, job.id).await?;
    let view = view.ok_or_else(|| Error::unexpected_row("state"))?;
    assert_eq!((view.state, view.fault), (JobState::Failed, Some(fault)));
    assert_eq!(view.payload, Some(json!({"n": 0})));

    let mut tx = f.db.write(&f.b).await?;
    assert_eq!(
        f.ledger.retry_in(&mut tx, job.id, 3).await?,
        None,
        "another tenant's"
    );
    tx.rollback().await?;
    let mut tx = f.db.write(&f.a).await?;
    assert_eq!(
        f.ledger.retry_in(&mut tx, job.id, 3).await?,
        Some(queue.clone())
    );
    tx.commit().await?;
    let again = f.claim(worker, &queue, 1).await?;
    let tries = again.first().map(|job| (job.job.attempt, job.max_attempts));
    assert_eq!(tries, Some((2, 4)), "three tries more");
    assert_eq!(f.ledger.checkpoint(&f.a, job.id).await?, Some(checkpoint));
    Ok(())
}

/// Who has a job that was cancelled learns of it and can't settle it.
pub(super) async fn a_cancelled_job_is_taken_from_its_worker(f: &Fixture) -> Result<(), Error> {
    let queue = queue("suite_cancel");
    let waiting = f.add(&f.a, &queue, 2).await?;
    let worker = f.worker(&queue).await?;
    let running = f.claim_one(worker, &queue).await?;
    for id in waiting {
        let mut tx = f.db.write(&f.b).await?;
        assert!(!f.ledger.cancel_in(&mut tx, id).await?, "another tenant's");
        tx.rollback().await?;
        let mut tx = f.db.write(&f.a).await?;
        assert!(f.ledger.cancel_in(&mut tx, id).await?);
        tx.commit().await?;
        assert_eq!(f.state(&f.a, id).await?, Some(JobState::Cancelled));
    }
    assert!(f.store.beat(worker).await?.owned.is_empty());
    assert!(
        f.settle(worker, running, Verdict::Succeeded(json!(null)))
            .await?
    );
    assert!(f.claim(worker, &queue, 9).await?.is_empty());
    Ok(())
}
