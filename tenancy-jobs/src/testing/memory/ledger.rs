use async_trait::async_trait;
use chrono::Utc;
use tenancy_core::{JobId, TenantCtx, TenantTx};

use super::MemoryJobStore;
use crate::{
    Checkpoint, Error, Fence, JobLedger, JobQuery, JobRef, JobSpec, JobState, JobView, QueueName,
    Settlement, WorkerId,
};

#[async_trait]
impl JobLedger for MemoryJobStore {
    async fn enqueue(&self, ctx: &TenantCtx, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, Error> {
        let mut state = self.locked();
        Ok(jobs
            .into_iter()
            .map(|job| state.enqueue(ctx, job))
            .collect())
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, Error> {
        let tenant = tx.ctx().tenant();
        let mut seen = std::collections::HashMap::new();
        let ids = jobs.iter().map(|job| {
            let known = job
                .key_hash
                .and_then(|hash| self.locked().known(tenant, hash));
            let first = job
                .key_hash
                .map_or(job.id, |hash| *seen.entry(hash).or_insert(job.id));
            known.unwrap_or(first)
        });
        let ids = ids.collect();
        let (queue, ctx) = (self.clone(), tx.ctx().clone());
        tx.after_commit(move || {
            let mut state = queue.locked();
            for job in jobs {
                state.enqueue(&ctx, job);
            }
        });
        Ok(ids)
    }

    async fn announce(&self, _: &QueueName) -> Result<(), Error> {
        Ok(())
    }

    async fn get(&self, ctx: &TenantCtx, id: JobId) -> Result<Option<JobView>, Error> {
        Ok(self.locked().view((ctx.tenant(), id)))
    }

    async fn list(&self, ctx: &TenantCtx, query: &JobQuery) -> Result<Vec<JobView>, Error> {
        let state = self.locked();
        let keys = state
            .live
            .keys()
            .chain(state.dead.keys())
            .chain(state.history.keys());
        let mut jobs: Vec<JobView> = keys
            .filter(|(tenant, _)| *tenant == ctx.tenant())
            .filter_map(|key| state.view(*key))
            .filter(|job| query.states.is_empty() || query.states.contains(&job.state))
            .filter(|job| query.kind.as_ref().is_none_or(|kind| *kind == job.kind))
            .filter(|job| query.queue.as_ref().is_none_or(|queue| *queue == job.queue))
            .filter(|job| query.before.is_none_or(|before| job.id < before))
            .collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        jobs.truncate(usize::try_from(query.limit.clamp(1, 500)).unwrap_or(500));
        Ok(jobs)
    }

    async fn cancel_in(&self, tx: &mut TenantTx, id: JobId) -> Result<bool, Error> {
        let key = (tx.ctx().tenant(), id);
        let there = {
            let state = self.locked();
            state.live.contains_key(&key) || state.dead.contains_key(&key)
        };
        let queue = self.clone();
        tx.after_commit(move || {
            let mut state = queue.locked();
            if let Some(row) = state.live.remove(&key).or_else(|| state.dead.remove(&key)) {
                state.end(key, &row, JobState::Cancelled, None, None);
            }
        });
        Ok(there)
    }

    async fn retry_in(
        &self,
        tx: &mut TenantTx,
        id: JobId,
        attempts: u16,
    ) -> Result<Option<QueueName>, Error> {
        let key = (tx.ctx().tenant(), id);
        let known = self
            .locked()
            .dead
            .get(&key)
            .map(|row| row.spec.queue.clone());
        let queue = self.clone();
        tx.after_commit(move || {
            let mut state = queue.locked();
            if let Some(mut row) = state.dead.remove(&key) {
                state.unexpire(key.0, &row.spec);
                row.max_attempts = row.attempt + i32::from(attempts.max(1));
                row.died_at = None;
                row.run_at = Utc::now();
                state.again(key, row, None);
            }
        });
        Ok(known)
    }

    async fn checkpoint(&self, ctx: &TenantCtx, id: JobId) -> Result<Option<Checkpoint>, Error> {
        Ok(self.locked().progress.get(&(ctx.tenant(), id)).cloned())
    }

    async fn checkpoint_in(
        &self,
        tx: &mut TenantTx,
        worker: WorkerId,
        job: JobRef,
        checkpoint: &Checkpoint,
    ) -> Result<Fence, Error> {
        let job = JobRef::new(tx.ctx().tenant(), job.id, job.attempt);
        let fence = self.locked().fence(worker, job);
        let (queue, checkpoint) = (self.clone(), checkpoint.clone());
        tx.after_commit(move || {
            let mut state = queue.locked();
            if state.fence(worker, job).is_held() {
                let before = state
                    .progress
                    .remove(&(job.tenant, job.id))
                    .unwrap_or_default();
                let Checkpoint {
                    done,
                    total,
                    cursor,
                } = checkpoint;
                let merged =
                    Checkpoint::new(done, total.or(before.total), cursor.or(before.cursor));
                state.progress.insert((job.tenant, job.id), merged);
            }
        });
        Ok(fence)
    }

    async fn settle_in(
        &self,
        tx: &mut TenantTx,
        worker: WorkerId,
        settlement: &Settlement,
    ) -> Result<Fence, Error> {
        let mut settlement = settlement.clone();
        settlement.job.tenant = tx.ctx().tenant();
        let fence = self.locked().fence(worker, settlement.job);
        let queue = self.clone();
        tx.after_commit(move || {
            let _ = queue.locked().settle(worker, settlement);
        });
        Ok(fence)
    }
}
