//! A long batch update, in steps that survive a crash.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tenancy::{
    core::{Error, JobId, JobKind, JobRun, NewJob, TenantCtx, TenantTx},
    jobs::{BatchHandler, Checkpoint, Chunk, JobView, Worker},
};
use tokio_util::sync::CancellationToken;

use super::onboarding::People;
use crate::{Result, Screen, World};

const LEADS: i64 = 10_000;
const STEP: i64 = 500;
const KIND: JobKind = JobKind::from_static("leads.advance");

/// Moves leads to the next stage, 500 in a step.
struct Advance;

#[async_trait]
impl BatchHandler for Advance {
    fn kind(&self) -> JobKind {
        KIND
    }

    async fn total(&self, tx: &mut TenantTx, _: &JobRun) -> Result<Option<u64>, Error> {
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM public.leads")
            .fetch_one(&mut **tx)
            .await?;
        Ok(u64::try_from(total).ok())
    }

    async fn chunk(&self, tx: &mut TenantTx, _: &JobRun, at: &Checkpoint) -> Result<Chunk, Error> {
        let from = at
            .cursor
            .as_ref()
            .and_then(Value::as_i64)
            .unwrap_or_default();
        let tenant = tx.ctx().tenant();
        let done = sqlx::query(
            "UPDATE public.leads SET stage = 'contacted', updates = updates + 1
             WHERE tenant_id = $1 AND id > $2 AND id <= $2 + $3",
        )
        .bind(tenant)
        .bind(from)
        .bind(STEP)
        .execute(&mut **tx)
        .await?
        .rows_affected();
        let next = from + STEP;
        Ok(if next >= LEADS {
            Chunk::end(done, json!({ "last": next }))
        } else {
            Chunk::more(done, next)
        })
    }
}

pub(crate) async fn run(screen: &mut Screen, world: &World, people: &People) -> Result {
    screen.step("A batch job");
    let ctx = &people.ada;
    let mut tx = world.db.write(ctx).await?;
    sqlx::query(
        "INSERT INTO public.leads (tenant_id, id, email)
         SELECT $1, n, 'lead' || n || '@example.com' FROM generate_series(1, $2) n",
    )
    .bind(ctx.tenant())
    .bind(LEADS)
    .execute(&mut *tx)
    .await?;
    let job = NewJob::new(KIND, json!({})).with_idempotency_key("advance-2026-11");
    let id = world.jobs.enqueue_in(&mut tx, job.clone()).await?;
    tx.commit().await?;
    let again = world.jobs.enqueue(ctx, job).await?;
    screen.ask(format!(
        "update {LEADS} leads, enqueued in the transaction that made them"
    ));
    screen.got(format!(
        "job {id}; enqueued again under the same key: {again}"
    ));
    screen.promise("the same key is the same job", id == again);

    let ended = work(screen, world, ctx, id).await?;
    let mut tx = world.db.read(ctx).await?;
    let counted: Vec<(String, i32, i64)> = sqlx::query_as(
        "SELECT stage, updates, count(*) FROM public.leads GROUP BY stage, updates ORDER BY 1, 2",
    )
    .fetch_all(&mut *tx)
    .await?;
    screen.got(format!(
        "job {}, leads by (stage, updates): {counted:?}",
        ended.state.as_str()
    ));
    let once = counted == [("contacted".to_owned(), 1, LEADS)];
    screen.promise("every lead was updated, exactly once", once);
    Ok(())
}

/// Runs a worker until the job has ended, with a bar that follows its progress.
async fn work(screen: &Screen, world: &World, ctx: &TenantCtx, id: JobId) -> Result<JobView> {
    let stop = CancellationToken::new();
    let worker = Worker::builder(world.worker.clone(), world.db.clone(), world.audit.clone())
        .batch_handler(Arc::new(Advance))
        .waker(&world.jobs.waker())
        .build()?;
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    let bar = Screen::bar(u64::try_from(LEADS)?, "leads");
    let ended = loop {
        let view: JobView = world.jobs.get(ctx, id).await?;
        if let Some(progress) = view.progress {
            bar.set_position(progress.done);
        }
        if view.state.is_ended() {
            break view;
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    };
    bar.finish();
    stop.cancel();
    screen.got(format!("{:?}", running.await??));
    Ok(ended)
}
