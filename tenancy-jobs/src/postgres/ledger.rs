//! A tenant's own jobs, as the app role under row-level security.

use async_trait::async_trait;
use serde_json::Value;
use tenancy_core::{JobId, TenantCtx, TenantDb, TenantTx};

use super::{big, count, enqueue, rows::ViewRow};
use crate::{
    Checkpoint, Error, Fence, JobLedger, JobQuery, JobRef, JobSpec, JobView, QueueName, Settlement,
    Verdict, WorkerId,
};

/// [`JobLedger`] on Postgres.
#[derive(Clone, Debug)]
pub struct PgJobLedger {
    db: TenantDb,
}

impl PgJobLedger {
    /// Uses this database.
    pub fn new(db: TenantDb) -> Self {
        Self { db }
    }
}

#[async_trait]
impl JobLedger for PgJobLedger {
    async fn enqueue(&self, ctx: &TenantCtx, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, Error> {
        let mut tx = self.db.write(ctx).await?;
        let ids = enqueue::enqueue(&mut tx, jobs).await?;
        tx.commit().await?;
        Ok(ids)
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, Error> {
        enqueue::enqueue(tx, jobs).await
    }

    async fn announce(&self, queue: &QueueName) -> Result<(), Error> {
        let mut conn = self.db.unbound().await?;
        sqlx::query(include_str!("sql/notify.sql"))
            .bind(queue.as_str())
            .execute(&mut *conn)
            .await?;
        Ok(conn.done().await?)
    }

    async fn get(&self, ctx: &TenantCtx, id: JobId) -> Result<Option<JobView>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let row: Option<ViewRow> = sqlx::query_as(include_str!("sql/job_get.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        row.map(JobView::try_from).transpose()
    }

    async fn list(&self, ctx: &TenantCtx, query: &JobQuery) -> Result<Vec<JobView>, Error> {
        let states: Vec<&str> = query.states.iter().map(|state| state.as_str()).collect();
        let mut tx = self.db.read(ctx).await?;
        let rows: Vec<ViewRow> = sqlx::query_as(include_str!("sql/jobs_list.sql"))
            .bind(ctx.tenant())
            .bind(states)
            .bind(query.kind.as_ref().map(AsRef::as_ref))
            .bind(query.queue.as_ref().map(AsRef::as_ref))
            .bind(query.before)
            .bind(i64::from(query.limit.clamp(1, 500)))
            .fetch_all(&mut *tx)
            .await?;
        rows.into_iter().map(JobView::try_from).collect()
    }

    async fn cancel_in(&self, tx: &mut TenantTx, id: JobId) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/job_cancel.sql"))
            .bind(id)
            .fetch_one(&mut **tx)
            .await?)
    }

    async fn retry_in(
        &self,
        tx: &mut TenantTx,
        id: JobId,
        attempts: u16,
    ) -> Result<Option<QueueName>, Error> {
        let queue: Option<String> = sqlx::query_scalar(include_str!("sql/job_retry.sql"))
            .bind(id)
            .bind(i32::from(attempts.max(1)))
            .fetch_one(&mut **tx)
            .await?;
        queue
            .map(|name| QueueName::parse(name).map_err(|_| Error::unexpected_row("queue")))
            .transpose()
    }

    async fn checkpoint(&self, ctx: &TenantCtx, id: JobId) -> Result<Option<Checkpoint>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let row: Option<(i64, Option<i64>, Option<Value>)> =
            sqlx::query_as(include_str!("sql/checkpoint_get.sql"))
                .bind(ctx.tenant())
                .bind(id)
                .fetch_optional(&mut *tx)
                .await?;
        Ok(row.map(|(done, total, cursor)| Checkpoint::new(count(done), total.map(count), cursor)))
    }

    async fn checkpoint_in(
        &self,
        tx: &mut TenantTx,
        worker: WorkerId,
        job: JobRef,
        checkpoint: &Checkpoint,
    ) -> Result<Fence, Error> {
        let held: bool = sqlx::query_scalar(include_str!("sql/job_checkpoint.sql"))
            .bind(worker)
            .bind(job.id)
            .bind(job.attempt)
            .bind(big(checkpoint.done))
            .bind(checkpoint.total.map(big))
            .bind(checkpoint.cursor.clone())
            .fetch_one(&mut **tx)
            .await?;
        Ok(Fence::held_if(held))
    }

    async fn settle_in(
        &self,
        tx: &mut TenantTx,
        worker: WorkerId,
        settlement: &Settlement,
    ) -> Result<Fence, Error> {
        let Settlement {
            job,
            verdict,
            progress,
        } = settlement;
        let fault = verdict.fault();
        let held: bool = sqlx::query_scalar(include_str!("sql/job_settle.sql"))
            .bind(worker)
            .bind(job.id)
            .bind(job.attempt)
            .bind(verdict.as_str())
            .bind(delay_ms(verdict))
            .bind(result(verdict))
            .bind(fault.map(|fault| fault.code.as_str()))
            .bind(fault.map(|fault| fault.message.as_str()))
            .bind(progress.map(|progress| big(progress.done)))
            .bind(progress.and_then(|progress| progress.total).map(big))
            .fetch_one(&mut **tx)
            .await?;
        Ok(Fence::held_if(held))
    }
}

pub(super) fn delay_ms(verdict: &Verdict) -> Option<i64> {
    verdict
        .delay()
        .map(|delay| i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn result(verdict: &Verdict) -> Option<Value> {
    match verdict {
        Verdict::Succeeded(value) => Some(crate::model::storable_result(value.clone())),
        _ => None,
    }
}
