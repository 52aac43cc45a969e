//! Jobs of a suspended tenant: parked until it is open again, not lost, no try counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tenancy_core::{
    Error, JobKind, JobRun, NewJob, NoRoles, Suspension, TenantCtx, TenantDb, TenantStatus,
    TenantTx, Tenants,
    testing::{FakeAuthorizer, MemoryAudit},
};
use tenancy_jobs::{BatchHandler, Checkpoint, Chunk, ErrorKind, JobState};

use crate::support::{AsyncWork, House, KIND, Running, plain, until};

const BOTH: [(Suspension, TenantStatus); 2] = [
    (Suspension::ReadOnly, TenantStatus::SuspendedReadOnly),
    (Suspension::Blocked, TenantStatus::SuspendedBlocked),
];

fn tenants(house: &House) -> Tenants {
    Tenants::new(
        house.db.app.clone(),
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(NoRoles::new()),
        Arc::new(MemoryAudit::new()),
    )
}

fn job() -> NewJob {
    // One try: if a suspension counted, there would be none left.
    NewJob::new(KIND, json!(null)).with_max_attempts(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_suspended_tenant_wait_until_it_is_open_again() {
    let (house, runs) = (House::new().await, Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&runs);
    let worker = Running::start(house.worker().handler(plain(move |_: JobRun| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(Value::Null)
    })));
    for (round, (how, from)) in BOTH.into_iter().enumerate() {
        let tenants = tenants(&house);
        let later = chrono::Utc::now() + chrono::TimeDelta::milliseconds(150);
        let delayed = house.jobs.enqueue(&house.a, job().with_run_at(later)).await;
        tenants.suspend(&house.a, how).await.unwrap();
        let waiting = delayed.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let other = house.jobs.enqueue(&house.b, job()).await.unwrap();
        house.until(&house.b, other, JobState::Succeeded).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 2 * round + 1, "the other's");
        let view = house.view(&house.a, waiting).await;
        assert_eq!((view.state, view.attempt), (JobState::Ready, 0));
        tenants.resume(&house.a, from).await.unwrap();
        let view = house.until(&house.a, waiting, JobState::Succeeded).await;
        assert_eq!(view.attempt, 1);
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_tenant_that_can_only_be_read_takes_no_job_and_says_why() {
    let house = House::new().await;
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    tenants(&house)
        .suspend(&house.a, Suspension::ReadOnly)
        .await
        .unwrap();
    let user = house.a.user().unwrap();
    let reader = house.db.app.enter(house.a.tenant(), user).await.unwrap();
    for error in [
        house
            .jobs
            .enqueue(&reader, job())
            .await
            .map(drop)
            .unwrap_err(),
        house.jobs.cancel(&reader, id).await.unwrap_err(),
        house.jobs.retry(&reader, id).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NotAccessible, "tenant_read_only")
        );
    }
    assert_eq!(house.jobs.get(&reader, id).await.unwrap().id, id);
}

/// Works until it is cancelled or let go, in a tenant that is suspended meanwhile.
struct Interrupted {
    db: TenantDb,
    started: Arc<AtomicUsize>,
    /// Asks the database of itself, and so is refused; else it does not look at all.
    looks: bool,
}

#[async_trait]
impl AsyncWork for Interrupted {
    async fn work(&self, ctx: &TenantCtx, _: &JobRun) -> Result<Value, Error> {
        if self.started.fetch_add(1, Ordering::SeqCst) > 0 {
            return Ok(json!("done"));
        }
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.looks {
                let entered = self.db.enter_as(ctx.tenant(), ctx.principal().clone());
                let again = entered.await?;
                self.db.write(&again).await?;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_a_suspension_interrupts_does_not_count_and_is_not_a_failure() {
    for looks in [true, false] {
        for (how, from) in BOTH {
            let (house, started) = (House::new().await, Arc::new(AtomicUsize::new(0)));
            let tenants = tenants(&house);
            let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
            let work = Interrupted {
                db: house.db.app.clone(),
                started: Arc::clone(&started),
                looks,
            };
            let worker = Running::start(house.worker().handler(plain(work)));
            until("a start", async || {
                (started.load(Ordering::SeqCst) == 1).then_some(())
            })
            .await;
            tenants.suspend(&house.a, how).await.unwrap();
            let view = house.until(&house.a, id, JobState::Ready).await;
            assert_eq!((view.attempt, view.fault), (0, None));
            tenants.resume(&house.a, from).await.unwrap();
            let view = house.until(&house.a, id, JobState::Succeeded).await;
            assert_eq!((view.attempt, view.result), (1, Some(json!("done"))));
            let report = worker.stop().await;
            assert_eq!((report.failed, report.parked, report.retried), (0, 0, 0));
        }
    }
}

const BATCH: JobKind = JobKind::from_static("leads.touch");

/// Touches one lead a step, and waits in the fourth until the test lets it go.
struct Touch {
    waits: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
}

#[async_trait]
impl BatchHandler for Touch {
    fn kind(&self) -> JobKind {
        BATCH
    }

    async fn total(&self, _: &mut TenantTx, _: &JobRun) -> Result<Option<u64>, Error> {
        Ok(Some(8))
    }

    async fn chunk(&self, tx: &mut TenantTx, _: &JobRun, at: &Checkpoint) -> Result<Chunk, Error> {
        let lead = i64::try_from(at.done).unwrap() + 1;
        let tenant = tx.ctx().tenant();
        sqlx::query(
            "UPDATE public.leads SET updates = updates + 1 WHERE tenant_id = $1 AND id = $2",
        )
        .bind(tenant)
        .bind(lead)
        .execute(&mut **tx)
        .await?;
        while lead == 4 && self.waits.load(Ordering::SeqCst) {
            self.held.store(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(if lead == 8 {
            Chunk::end(1, json!("done"))
        } else {
            Chunk::more(1, lead)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_stops_at_the_step_in_which_its_tenant_is_suspended_and_goes_on_behind_the_last() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    sqlx::query(
        "INSERT INTO public.leads (tenant_id, id) SELECT $1, n FROM generate_series(1, 8) n",
    )
    .bind(house.a.tenant())
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let (waits, held) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicBool::new(false)),
    );
    let touch = Touch {
        waits: Arc::clone(&waits),
        held: Arc::clone(&held),
    };
    let once = NewJob::new(BATCH, json!(null)).with_max_attempts(1);
    let id = house.jobs.enqueue(&house.a, once).await.unwrap();
    let worker = Running::start(house.worker().batch_handler(Arc::new(touch)));
    until("the fourth step", async || {
        held.load(Ordering::SeqCst).then_some(())
    })
    .await;
    let tenants = tenants(&house);
    tenants
        .suspend(&house.a, Suspension::ReadOnly)
        .await
        .unwrap();
    waits.store(false, Ordering::SeqCst);
    let view = house.until(&house.a, id, JobState::Ready).await;
    assert_eq!((view.attempt, view.progress.unwrap().done), (0, 3));
    let touched = "SELECT sum(updates) FROM public.leads";
    assert_eq!(
        house.number(&house.a, touched).await,
        3,
        "the step was rolled back"
    );
    tenants
        .resume(&house.a, TenantStatus::SuspendedReadOnly)
        .await
        .unwrap();
    house.until(&house.a, id, JobState::Succeeded).await;
    assert_eq!(house.number(&house.a, touched).await, 8);
    let more = "SELECT count(*) FROM public.leads WHERE updates > 1";
    assert_eq!(house.number(&house.a, more).await, 0);
    assert_eq!(worker.stop().await.failed, 0);
}
