//! Claiming and settling across tenants, as the worker role through the closed list of functions.

use async_trait::async_trait;
use tenancy_core::{TenantId, WorkerDb};

use super::{
    big, count,
    ledger::{delay_ms, result},
    millis, rows,
};
use crate::{
    Beat, ClaimRequest, Error, ErrorKind, Exchange, JobStore, Purged, Settlement, Swept,
    TenantPolicy, WorkerId, WorkerInfo,
};

/// Most keys and dead jobs of one purge.
const PURGE_LIMIT: i32 = 10_000;

/// [`JobStore`] on Postgres.
#[derive(Clone, Debug)]
pub struct PgJobStore {
    db: WorkerDb,
}

impl PgJobStore {
    /// Uses this database.
    pub fn new(db: WorkerDb) -> Self {
        Self { db }
    }
}

#[async_trait]
impl JobStore for PgJobStore {
    async fn register(&self, worker: &WorkerInfo) -> Result<(), Error> {
        sqlx::query(include_str!("sql/worker_register.sql"))
            .bind(worker.id)
            .bind(worker.queue.as_str())
            .bind(worker.name.as_str())
            .bind(millis(worker.dead_after))
            .execute(self.db.pool())
            .await?;
        Ok(())
    }

    async fn beat(&self, worker: WorkerId) -> Result<Beat, Error> {
        let rows = sqlx::query_as(include_str!("sql/worker_beat.sql"))
            .bind(worker)
            .fetch_all(self.db.pool())
            .await?;
        Ok(rows::beat(rows))
    }

    async fn exchange(
        &self,
        worker: WorkerId,
        done: &[Settlement],
        claim: &ClaimRequest,
    ) -> Result<Exchange, Error> {
        let kinds: Vec<&str> = claim.kinds.iter().map(AsRef::as_ref).collect();
        let each = || done.iter();
        let fault = |settlement: &Settlement| settlement.verdict.fault().cloned();
        let rows = sqlx::query_as(include_str!("sql/exchange.sql"))
            .bind(worker)
            .bind(each().map(|s| s.job.tenant.as_uuid()).collect::<Vec<_>>())
            .bind(each().map(|s| s.job.id.as_uuid()).collect::<Vec<_>>())
            .bind(each().map(|s| s.job.attempt).collect::<Vec<_>>())
            .bind(each().map(|s| s.verdict.as_str()).collect::<Vec<_>>())
            .bind(each().map(|s| delay_ms(&s.verdict)).collect::<Vec<_>>())
            .bind(each().map(|s| result(&s.verdict)).collect::<Vec<_>>())
            .bind(each().map(|s| fault(s).map(|f| f.code)).collect::<Vec<_>>())
            .bind(
                each()
                    .map(|s| fault(s).map(|f| f.message))
                    .collect::<Vec<_>>(),
            )
            .bind(
                each()
                    .map(|s| s.progress.map(|p| big(p.done)))
                    .collect::<Vec<_>>(),
            )
            .bind(
                each()
                    .map(|s| s.progress.and_then(|p| p.total).map(big))
                    .collect::<Vec<_>>(),
            )
            .bind(claim.queue.as_str())
            .bind(kinds)
            .bind(claim.after)
            .bind(i32::try_from(claim.limit).unwrap_or(i32::MAX))
            .fetch_all(self.db.pool())
            .await?;
        rows::exchange(rows)
    }

    async fn retire(&self, worker: WorkerId) -> Result<u64, Error> {
        let handed_back: i32 = sqlx::query_scalar(include_str!("sql/worker_retire.sql"))
            .bind(worker)
            .fetch_one(self.db.pool())
            .await?;
        Ok(count(handed_back))
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        let (workers, jobs): (i32, i32) = sqlx::query_as(include_str!("sql/sweep.sql"))
            .fetch_one(self.db.pool())
            .await?;
        Ok(Swept::new(count(workers), count(jobs)))
    }

    async fn purge(&self, keep_dead_days: u16) -> Result<Purged, Error> {
        let (keys, dead): (i32, i32) = sqlx::query_as(include_str!("sql/purge.sql"))
            .bind(i32::from(keep_dead_days))
            .bind(PURGE_LIMIT)
            .fetch_one(self.db.pool())
            .await?;
        Ok(Purged::new(count(keys), count(dead)))
    }

    async fn set_policy(&self, tenant: TenantId, policy: &TenantPolicy) -> Result<(), Error> {
        let in_flight = policy
            .max_in_flight
            .map(|jobs| i32::try_from(jobs).unwrap_or(i32::MAX));
        let known: bool = sqlx::query_scalar(include_str!("sql/policy_set.sql"))
            .bind(tenant)
            .bind(i32::from(policy.weight))
            .bind(in_flight)
            .bind(policy.paused)
            .fetch_one(self.db.pool())
            .await?;
        known.then_some(()).ok_or_else(|| unknown_tenant(tenant))
    }

    async fn policy(&self, tenant: TenantId) -> Result<TenantPolicy, Error> {
        let row: Option<(i32, Option<i32>, bool)> =
            sqlx::query_as(include_str!("sql/policy_get.sql"))
                .bind(tenant)
                .fetch_optional(self.db.pool())
                .await?;
        let (weight, in_flight, paused) = row.ok_or_else(|| unknown_tenant(tenant))?;
        let mut policy = TenantPolicy::default()
            .with_weight(u16::try_from(weight).unwrap_or(u16::MAX))
            .with_paused(paused);
        policy.max_in_flight = in_flight.and_then(|most| u32::try_from(most).ok());
        Ok(policy)
    }
}

fn unknown_tenant(tenant: TenantId) -> Error {
    let message = format!("there is no tenant `{tenant}`");
    Error::new(ErrorKind::NotFound, "tenant_unknown", message)
}
