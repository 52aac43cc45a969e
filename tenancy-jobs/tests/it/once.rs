//! How often effects happen when a worker is killed between the effect and the end of its job.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use tenancy_core::{Error, JobKind, JobRun, NewJob, TenantCtx, TenantDb, TenantTx};
use tenancy_jobs::{JobState, TxHandler};

use crate::{
    child::{Child, Mode},
    support::{AsyncWork, House, KIND, Running, effect, plain, until},
};

/// Writes an effect in a transaction of its own, and never returns.
pub(crate) struct HangAfterEffect(pub(crate) TenantDb);

#[async_trait]
impl AsyncWork for HangAfterEffect {
    async fn work(&self, ctx: &TenantCtx, run: &JobRun) -> Result<Value, Error> {
        EffectAlone(self.0.clone()).work(ctx, run).await?;
        std::future::pending().await
    }
}

struct EffectAlone(TenantDb);

#[async_trait]
impl AsyncWork for EffectAlone {
    async fn work(&self, ctx: &TenantCtx, run: &JobRun) -> Result<Value, Error> {
        let mut tx = self.0.write(ctx).await?;
        effect(&mut tx, run).await?;
        tx.commit().await?;
        Ok(json!(run.attempt))
    }
}

/// Writes an effect in the queue's transaction, and never returns.
pub(crate) struct HangInTx;

#[async_trait]
impl TxHandler for HangInTx {
    fn kind(&self) -> JobKind {
        KIND
    }

    async fn run_in(&self, tx: &mut TenantTx, run: &JobRun) -> Result<Value, Error> {
        effect(tx, run).await?;
        // For the parent to see, since nothing of the transaction is visible.
        run.progress.report(1, 1).await;
        std::future::pending().await
    }
}

/// Writes an effect in the queue's transaction.
pub(crate) struct EffectInTx;

#[async_trait]
impl TxHandler for EffectInTx {
    fn kind(&self) -> JobKind {
        KIND
    }

    async fn run_in(&self, tx: &mut TenantTx, run: &JobRun) -> Result<Value, Error> {
        effect(tx, run).await?;
        Ok(json!(run.attempt))
    }
}

const EFFECTS: &str = "SELECT count(*) FROM public.effects";

#[tokio::test]
async fn a_plain_handler_killed_after_its_effect_runs_again() {
    let house = House::new().await;
    let id = house
        .jobs
        .enqueue(&house.a, NewJob::new(KIND, json!(null)))
        .await
        .unwrap();
    let child = Child::spawn(&house, Mode::Plain, &house.a);
    until("the effect", async || {
        (house.number(&house.a, EFFECTS).await == 1).then_some(())
    })
    .await;
    child.kill();
    let worker = Running::start(
        house
            .worker()
            .handler(plain(EffectAlone(house.db.app.clone()))),
    );
    let view = house.until(&house.a, id, JobState::Succeeded).await;
    assert_eq!((view.attempt, view.result), (2, Some(json!(2))));
    assert_eq!(house.number(&house.a, EFFECTS).await, 2, "at least once");
    assert_eq!(house.trail(&house.a, "job.succeeded").await.len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_handler_in_the_queues_transaction_that_is_killed_leaves_no_effect_behind() {
    let house = House::new().await;
    let id = house
        .jobs
        .enqueue(&house.a, NewJob::new(KIND, json!(null)))
        .await
        .unwrap();
    let child = Child::spawn(&house, Mode::Tx, &house.a);
    until("the run", async || house.view(&house.a, id).await.progress).await;
    child.kill();
    let worker = Running::start(house.worker().tx_handler(Arc::new(EffectInTx)));
    let view = house.until(&house.a, id, JobState::Succeeded).await;
    assert_eq!(view.attempt, 2);
    assert_eq!(house.number(&house.a, EFFECTS).await, 1, "exactly once");
    worker.stop().await;
}
