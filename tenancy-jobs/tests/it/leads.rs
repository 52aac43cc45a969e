//! The long batch: 10,000 leads in steps, with a worker that dies or freezes in the middle.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rustix::process::{Signal, WaitOptions, getpid, kill_process, waitpid};
use serde_json::{Value, json};
use tenancy_core::{Error, JobId, JobKind, JobRun, NewJob, TenantCtx, TenantTx};
use tenancy_jobs::{BatchHandler, Checkpoint, Chunk, JobState};

use crate::{
    child::{Child, Mode},
    support::{House, Running, until},
};

const KIND: JobKind = JobKind::from_static("leads.update");
const LEADS: i64 = 10_000;
const CHUNK: i64 = 250;
/// Where a worker that stops itself does so.
const STOP_AT: u64 = 2_500;

/// Marks every lead of the tenant as contacted, and counts how often it did.
pub(crate) struct UpdateLeads {
    pause: Duration,
    stops: bool,
}

impl UpdateLeads {
    fn quick() -> Arc<Self> {
        Arc::new(Self {
            pause: Duration::ZERO,
            stops: false,
        })
    }

    pub(crate) fn slow() -> Arc<Self> {
        Arc::new(Self {
            pause: Duration::from_millis(25),
            stops: false,
        })
    }

    pub(crate) fn stopping() -> Arc<Self> {
        Arc::new(Self {
            pause: Duration::ZERO,
            stops: true,
        })
    }
}

#[async_trait]
impl BatchHandler for UpdateLeads {
    fn kind(&self) -> JobKind {
        KIND
    }

    async fn total(&self, tx: &mut TenantTx, _: &JobRun) -> Result<Option<u64>, Error> {
        let tenant = tx.ctx().tenant();
        let leads: i64 =
            sqlx::query_scalar("SELECT count(*) FROM public.leads WHERE tenant_id = $1")
                .bind(tenant)
                .fetch_one(&mut **tx)
                .await?;
        Ok(Some(leads.unsigned_abs()))
    }

    async fn chunk(
        &self,
        tx: &mut TenantTx,
        run: &JobRun,
        at: &Checkpoint,
    ) -> Result<Chunk, Error> {
        if self.stops && at.done == STOP_AT {
            kill_process(getpid(), Signal::STOP).unwrap();
            // The signal stops all threads, but not before this line: nothing may be sent yet.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let after = at.cursor.as_ref().and_then(Value::as_i64).unwrap_or(0);
        let tenant = tx.ctx().tenant();
        let updated: Vec<i64> = sqlx::query_scalar(
            "UPDATE public.leads SET status = $4, updates = updates + 1
             WHERE tenant_id = $1 AND id IN (
                 SELECT id FROM public.leads WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3)
             RETURNING id",
        )
        .bind(tenant)
        .bind(after)
        .bind(CHUNK)
        .bind(run.payload["status"].as_str().unwrap_or("contacted"))
        .fetch_all(&mut **tx)
        .await?;
        tokio::time::sleep(self.pause).await;
        let items = u64::try_from(updated.len()).unwrap_or(u64::MAX);
        Ok(match updated.iter().max() {
            Some(last) => Chunk::more(items, *last),
            None => Chunk::end(0, json!({"leads": at.done})),
        })
    }
}

/// Leads of both tenants, and a job of each.
async fn start(house: &House) -> (JobId, JobId) {
    for (ctx, leads) in [(&house.a, LEADS), (&house.b, 700)] {
        let mut tx = house.db.app.write(ctx).await.unwrap();
        sqlx::query("INSERT INTO public.leads (tenant_id, id) SELECT $1, n FROM generate_series(1, $2::bigint) n")
            .bind(ctx.tenant())
            .bind(leads)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    let job =
        || NewJob::new(KIND, json!({"status": "contacted"})).with_idempotency_key("campaign 7");
    let b = house.jobs.enqueue(&house.b, job()).await.unwrap();
    (house.jobs.enqueue(&house.a, job()).await.unwrap(), b)
}

/// How many leads were updated how often: (exactly once, more often).
async fn updates(house: &House, ctx: &TenantCtx) -> (i64, i64) {
    let once = "SELECT count(*) FROM public.leads WHERE updates = 1 AND status = 'contacted'";
    let more = "SELECT count(*) FROM public.leads WHERE updates > 1";
    (house.number(ctx, once).await, house.number(ctx, more).await)
}

async fn done(house: &House, id: JobId) -> u64 {
    house
        .view(&house.a, id)
        .await
        .progress
        .map_or(0, |progress| progress.done)
}

#[tokio::test]
async fn ten_thousand_leads_are_updated_once_each_although_the_worker_is_killed_in_the_middle() {
    let house = House::new().await;
    let (job, job_b) = start(&house).await;
    let first = Child::spawn(&house, Mode::Leads, &house.a);
    until("3,000 leads", async || {
        (done(&house, job).await >= 3_000).then_some(())
    })
    .await;
    first.kill();
    let view = house.view(&house.a, job).await;
    let before = view.progress.unwrap();
    assert_eq!(view.state, JobState::Running, "nobody has noticed yet");
    assert!(
        before.done < 10_000 && before.total == Some(10_000),
        "{before:?}"
    );
    let (once, more) = updates(&house, &house.a).await;
    assert_eq!(
        (once.unsigned_abs(), more),
        (before.done, 0),
        "the progress is what was committed"
    );

    let second = Child::spawn(&house, Mode::Leads, &house.a);
    let view = house.until(&house.a, job, JobState::Succeeded).await;
    house.until(&house.b, job_b, JobState::Succeeded).await;
    second.kill();
    assert_eq!(
        updates(&house, &house.a).await,
        (LEADS, 0),
        "each lead exactly once"
    );
    assert_eq!(updates(&house, &house.b).await, (700, 0));
    assert_eq!(view.attempt, 2);
    assert_eq!(view.result, Some(json!({"leads": 10_000})));
    assert_eq!(view.progress.map(|progress| progress.done), Some(10_000));

    let trail = house.trail(&house.a, "job.succeeded").await;
    let [(actor, request, meta)] = trail.as_slice() else {
        panic!("{trail:?}")
    };
    assert_eq!(
        *actor,
        house.a.user().unwrap().to_string(),
        "as the one who enqueued it"
    );
    assert_eq!(*request, house.a.request_id().as_uuid());
    assert_eq!(
        (&meta["items"], &meta["attempt"]),
        (&json!(10_000), &json!(2))
    );
    assert_eq!(house.trail(&house.b, "job.succeeded").await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_is_stopped_hands_a_batch_back_where_it_is() {
    let house = House::new().await;
    let (job, job_b) = start(&house).await;
    let slow = || house.worker().batch_handler(UpdateLeads::slow());
    let first = Running::start(slow());
    house.until(&house.b, job_b, JobState::Succeeded).await;
    until("1,000 leads", async || {
        (done(&house, job).await >= 1_000).then_some(())
    })
    .await;
    let report = first.stop().await;
    assert_eq!((report.released, report.stale, report.failed), (1, 0, 0));
    let view = house.view(&house.a, job).await;
    assert_eq!((view.state, view.attempt), (JobState::Ready, 0));
    let before = done(&house, job).await;
    assert!((1_000..10_000).contains(&before));
    let second = Running::start(house.worker().batch_handler(UpdateLeads::quick()));
    let view = house.until(&house.a, job, JobState::Succeeded).await;
    assert_eq!(view.attempt, 1);
    assert_eq!(updates(&house, &house.a).await, (LEADS, 0));
    second.stop().await;
}

/// A worker freezes before it writes a step, another one finishes the job, and the first thaws
/// and writes. How many leads were updated more than once.
async fn doubled_by_a_frozen_worker(house: &House) -> i64 {
    let (job, _) = start(house).await;
    let mut frozen = Child::spawn(house, Mode::LeadsThatStop, &house.a);
    let pid = frozen.pid();
    let stopped = tokio::task::spawn_blocking(move || waitpid(Some(pid), WaitOptions::UNTRACED));
    let (_, status) = stopped.await.unwrap().unwrap().unwrap();
    assert!(status.stopped(), "{status:?}");
    assert_eq!(done(house, job).await, STOP_AT);

    house
        .plant("UPDATE tenancy.job_workers SET beat_at = beat_at - interval '1 hour'")
        .await;
    let second = Running::start(house.worker().batch_handler(UpdateLeads::quick()));
    house.until(&house.a, job, JobState::Succeeded).await;
    assert_eq!(updates(house, &house.a).await, (LEADS, 0));
    second.stop().await;

    kill_process(pid, Signal::CONT).unwrap();
    let ended = until("the end of the thawed worker", async || {
        tokio::task::yield_now().await;
        rustix::process::waitpid(Some(pid), WaitOptions::NOHANG).unwrap()
    })
    .await;
    assert_eq!(ended.1.exit_status(), Some(42), "its result was refused");
    let _ = frozen.0.try_wait();
    updates(house, &house.a).await.1
}

#[tokio::test]
async fn a_worker_that_froze_and_was_replaced_writes_nothing_when_it_thaws() {
    let house = House::new().await;
    assert_eq!(doubled_by_a_frozen_worker(&house).await, 0);
}

#[tokio::test]
async fn without_the_fence_the_frozen_worker_updates_leads_twice() {
    let house = House::new().await;
    house
        .plant(
            "CREATE OR REPLACE FUNCTION tenancy.job_checkpoint(
                 p_worker uuid, p_id uuid, p_attempt integer, p_done bigint, p_total bigint, p_cursor jsonb
             ) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
             BEGIN
                 INSERT INTO tenancy.job_progress VALUES (util.current_tenant(), p_id, p_done, p_total, p_cursor)
                 ON CONFLICT (tenant_id, job_id) DO UPDATE SET done = excluded.done, cursor = excluded.cursor;
                 RETURN true;
             END $$",
        )
        .await;
    assert_eq!(
        doubled_by_a_frozen_worker(&house).await,
        LEADS - i64::try_from(STOP_AT).unwrap()
    );
}
