//! Enqueuing.

use std::sync::Arc;

use serde_json::json;

use super::refused;
use crate::{
    Error, ErrorKind, JobId, JobKind, JobSink, NewJob, NoRoles, Suspension, TenantCtx, TenantDb,
    TenantStatus, Tenants,
    testing::{FakeAuthorizer, MemoryAudit},
};

const KIND: JobKind = JobKind::from_static("suite.job");
const OTHER: JobKind = JobKind::from_static("suite.other");

/// A [`JobSink`] stores a job exactly when its transaction commits, once a key, within limits, and
/// for its own tenant. `stored` answers the jobs of a tenant that are stored and not yet done.
///
/// # Panics
/// Where the contract is broken.
pub async fn job_sink(
    sink: &dyn JobSink,
    db: &TenantDb,
    a: &TenantCtx,
    b: &TenantCtx,
    stored: impl AsyncFn(&TenantCtx) -> Vec<JobId>,
) -> Result<(), Error> {
    assert!(stored(a).await.is_empty(), "begin with an empty store");
    let id = sink.enqueue(a, job()).await?;
    assert_eq!(stored(a).await, [id]);
    assert!(stored(b).await.is_empty(), "another tenant's");

    a_job_follows_its_transaction(sink, db, a, &stored).await?;
    a_key_is_one_job(sink, db, a, b).await?;
    the_same_key_at_once_is_one_job(sink, db, a, &stored).await?;
    bad_input_leaves_the_transaction_usable(sink, db, a, &stored).await?;
    a_suspended_tenant_takes_no_work(sink, db, b, &stored).await
}

fn job() -> NewJob {
    NewJob::new(KIND, json!({"n": 1}))
}

fn keyed(key: &str) -> NewJob {
    job().with_idempotency_key(key)
}

async fn a_job_follows_its_transaction(
    sink: &dyn JobSink,
    db: &TenantDb,
    a: &TenantCtx,
    stored: &impl AsyncFn(&TenantCtx) -> Vec<JobId>,
) -> Result<(), Error> {
    let before = stored(a).await.len();
    let mut tx = db.write(a).await?;
    sink.enqueue_in(&mut tx, job()).await?;
    let lost = sink.enqueue_in(&mut tx, keyed("rolled back")).await?;
    tx.rollback().await?;
    assert_eq!(stored(a).await.len(), before, "rolled back is not stored");

    let mut tx = db.write(a).await?;
    let first = sink.enqueue_in(&mut tx, keyed("rolled back")).await?;
    let second = sink.enqueue_in(&mut tx, job()).await?;
    assert_ne!(first, lost, "the key of what was rolled back is free");
    tx.commit().await?;
    let now = stored(a).await;
    assert!(now.contains(&first) && now.contains(&second));
    assert_eq!(now.len(), before + 2);
    Ok(())
}

async fn a_key_is_one_job(
    sink: &dyn JobSink,
    db: &TenantDb,
    a: &TenantCtx,
    b: &TenantCtx,
) -> Result<(), Error> {
    let first = sink.enqueue(a, keyed("k")).await?;
    assert_eq!(sink.enqueue(a, keyed("k")).await?, first, "later");
    let mut tx = db.write(a).await?;
    assert_eq!(
        sink.enqueue_in(&mut tx, keyed("k")).await?,
        first,
        "in a transaction"
    );
    let twice = sink.enqueue_in(&mut tx, keyed("l")).await?;
    assert_eq!(
        sink.enqueue_in(&mut tx, keyed("l")).await?,
        twice,
        "twice in one transaction"
    );
    tx.commit().await?;
    assert_eq!(sink.enqueue(a, keyed("l")).await?, twice);
    let other_kind = NewJob::new(OTHER, json!(1)).with_idempotency_key("k");
    assert_ne!(sink.enqueue(a, other_kind).await?, first, "its kind's");
    assert_ne!(sink.enqueue(b, keyed("k")).await?, first, "its tenant's");
    Ok(())
}

async fn the_same_key_at_once_is_one_job(
    sink: &dyn JobSink,
    db: &TenantDb,
    a: &TenantCtx,
    stored: &impl AsyncFn(&TenantCtx) -> Vec<JobId>,
) -> Result<(), Error> {
    let before = stored(a).await.len();
    let four = [(); 4].map(|()| sink.enqueue(a, keyed("at once")));
    let ids: Vec<JobId> = futures_util::future::join_all(four)
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    assert!(ids.iter().all(|id| Some(id) == ids.first()), "{ids:?}");
    assert_eq!(stored(a).await.len(), before + 1);

    // Whoever waits for a transaction that is rolled back takes its place.
    let mut tx = db.write(a).await?;
    sink.enqueue_in(&mut tx, keyed("given up")).await?;
    let waiting = sink.enqueue(a, keyed("given up"));
    let roll_back = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        tx.rollback().await
    };
    let (taken, ()) = futures_util::future::try_join(waiting, roll_back).await?;
    assert!(stored(a).await.contains(&taken));
    Ok(())
}

async fn bad_input_leaves_the_transaction_usable(
    sink: &dyn JobSink,
    db: &TenantDb,
    a: &TenantCtx,
    stored: &impl AsyncFn(&TenantCtx) -> Vec<JobId>,
) -> Result<(), Error> {
    let before = stored(a).await.len();
    let mut tx = db.write(a).await?;
    let huge = NewJob::new(KIND, json!("x".repeat(3 << 20)));
    let too_large = sink.enqueue_in(&mut tx, huge).await;
    let code = too_large.as_ref().err().map(Error::code);
    assert_eq!(code, Some("job_payload_too_large"));
    refused(too_large, ErrorKind::Limit);
    for bad in [
        NewJob::new(KIND, json!({"a": ["b\0"]})),
        keyed(""),
        keyed(&"k".repeat(513)),
        job().with_max_attempts(0),
        job().with_timeout(std::time::Duration::ZERO),
    ] {
        refused(sink.enqueue_in(&mut tx, bad).await, ErrorKind::InvalidInput);
    }
    let escaped = NewJob::new(KIND, json!("\\u0000"));
    sink.enqueue_in(&mut tx, escaped).await?;
    tx.commit().await?;
    assert_eq!(stored(a).await.len(), before + 1);
    Ok(())
}

async fn a_suspended_tenant_takes_no_work(
    sink: &dyn JobSink,
    db: &TenantDb,
    b: &TenantCtx,
    stored: &impl AsyncFn(&TenantCtx) -> Vec<JobId>,
) -> Result<(), Error> {
    let before = stored(b).await.len();
    let tenants = Tenants::new(
        db.clone(),
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(NoRoles::new()),
        Arc::new(MemoryAudit::new()),
    );
    tenants.suspend(b, Suspension::ReadOnly).await?;
    let reader = db.enter_as(b.tenant(), b.principal().clone()).await?;
    let error = refused(sink.enqueue(&reader, job()).await, ErrorKind::Suspended);
    assert_eq!(error.code(), "tenant_read_only");
    tenants.resume(b, TenantStatus::SuspendedReadOnly).await?;
    assert_eq!(stored(b).await.len(), before);
    Ok(())
}
