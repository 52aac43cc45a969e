use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tenancy_core::TenantId;

use super::{
    MemoryJobStore,
    state::{Key, State},
};
use crate::{
    Beat, ClaimRequest, ClaimedJob, Error, Exchange, Fault, Fence, JobRef, JobState, JobStore,
    Purged, Settlement, Swept, TenantPolicy, WorkerId, WorkerInfo,
};

#[async_trait]
impl JobStore for MemoryJobStore {
    async fn register(&self, worker: &WorkerInfo) -> Result<(), Error> {
        self.locked()
            .workers
            .insert(worker.id, (worker.clone(), Utc::now()));
        Ok(())
    }

    async fn beat(&self, worker: WorkerId) -> Result<Beat, Error> {
        let mut state = self.locked();
        let known = state
            .workers
            .get_mut(&worker)
            .map(|(_, beat)| *beat = Utc::now())
            .is_some();
        let owned = if known {
            state.held_by(worker)
        } else {
            Vec::new()
        };
        Ok(Beat::new(Fence::held_if(known), owned))
    }

    async fn exchange(
        &self,
        worker: WorkerId,
        done: &[Settlement],
        claim: &ClaimRequest,
    ) -> Result<Exchange, Error> {
        let mut state = self.locked();
        let refused = done
            .iter()
            .filter(|settlement| !state.settle(worker, (*settlement).clone()).is_held())
            .map(|settlement| settlement.job.id)
            .collect();
        let is_listed = state.workers.contains_key(&worker);
        let claimed = if is_listed {
            state.claim(worker, claim)
        } else {
            Vec::new()
        };
        Ok(Exchange::new(refused, claimed))
    }

    async fn retire(&self, worker: WorkerId) -> Result<u64, Error> {
        let mut state = self.locked();
        let held = state.held_by(worker);
        for job in &held {
            if let Some(mut row) = state.live.remove(&(job.tenant, job.id)) {
                row.attempt -= 1;
                state.again((job.tenant, job.id), row, None);
            }
        }
        state.workers.remove(&worker);
        Ok(count(held.len()))
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        let mut state = self.locked();
        let (now, before) = (Utc::now(), state.workers.len());
        state.workers.retain(|_, (info, beat)| {
            *beat + TimeDelta::from_std(info.dead_after).unwrap_or(TimeDelta::MAX) >= now
        });
        let workers = before - state.workers.len();
        let orphans: Vec<Key> = state
            .live
            .iter()
            .filter(|(_, row)| {
                row.worker
                    .is_some_and(|id| !state.workers.contains_key(&id))
            })
            .map(|(key, _)| *key)
            .collect();
        for key in &orphans {
            if let Some(mut row) = state.live.remove(key) {
                row.fault = Some(Fault::new("worker_lost", "the worker stopped answering"));
                state.again(*key, row, None);
            }
        }
        Ok(Swept::new(count(workers), count(orphans.len())))
    }

    async fn purge(&self, keep_dead_days: u16) -> Result<Purged, Error> {
        let mut state = self.locked();
        let now = Utc::now();
        let keys = state.forget_keys(now);
        let oldest = now - TimeDelta::days(i64::from(keep_dead_days));
        let is_old = |died_at: Option<DateTime<Utc>>| died_at.is_some_and(|at| at <= oldest);
        let old: Vec<Key> = state
            .dead
            .iter()
            .filter(|(_, row)| is_old(row.died_at))
            .map(|(key, _)| *key)
            .collect();
        for key in &old {
            if let Some(row) = state.dead.remove(key) {
                state.end(*key, &row, JobState::Failed, None, None);
            }
        }
        Ok(Purged::new(count(keys), count(old.len())))
    }

    async fn set_policy(&self, tenant: TenantId, policy: &TenantPolicy) -> Result<(), Error> {
        self.locked().policies.insert(tenant, *policy);
        Ok(())
    }

    async fn policy(&self, tenant: TenantId) -> Result<TenantPolicy, Error> {
        let policy = self.locked().policies.get(&tenant).copied();
        Ok(policy.unwrap_or_default())
    }
}

impl State {
    fn held_by(&self, worker: WorkerId) -> Vec<JobRef> {
        let held = self
            .live
            .iter()
            .filter(|(_, row)| row.worker == Some(worker));
        held.map(|((tenant, id), row)| JobRef::new(*tenant, *id, row.attempt))
            .collect()
    }

    /// Shares first, then what is left to whoever has more.
    fn claim(&mut self, worker: WorkerId, claim: &ClaimRequest) -> Vec<ClaimedJob> {
        let now = Utc::now();
        for row in self.live.values_mut().filter(|row| row.run_at <= now) {
            if row.state == JobState::Scheduled {
                row.state = JobState::Ready;
            }
        }
        let (mut claimed, mut room) = (Vec::new(), claim.limit);
        loop {
            let ring = self.ring(claim);
            let before = claimed.len();
            let weights: usize = ring.iter().map(|tenant| self.weight(*tenant)).sum();
            for tenant in &ring {
                let share = (room * self.weight(*tenant)).div_ceil(weights.max(1));
                let left = claim.limit - claimed.len();
                for _ in 0..share.min(left) {
                    claimed.extend(self.take(worker, *tenant, claim, now));
                }
            }
            if claimed.len() == before || claimed.len() >= claim.limit {
                return claimed;
            }
            room = room.saturating_mul(2).min(1_000_000);
        }
    }

    fn weight(&self, tenant: TenantId) -> usize {
        self.policies
            .get(&tenant)
            .map_or(1, |policy| usize::from(policy.weight))
    }

    /// Tenants with work for this request, in order, from behind the one served last.
    fn ring(&self, claim: &ClaimRequest) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self
            .live
            .iter()
            .filter(|(_, row)| row.state == JobState::Ready && row.spec.queue == claim.queue)
            .map(|((tenant, _), _)| *tenant)
            .filter(|tenant| {
                !self
                    .policies
                    .get(tenant)
                    .is_some_and(|policy| policy.paused)
            })
            .collect();
        tenants.dedup();
        let from = tenants.partition_point(|tenant| claim.after.is_some_and(|at| *tenant <= at));
        tenants.rotate_left(from);
        tenants
    }

    fn take(
        &mut self,
        worker: WorkerId,
        tenant: TenantId,
        claim: &ClaimRequest,
        now: DateTime<Utc>,
    ) -> Option<ClaimedJob> {
        let most = self
            .policies
            .get(&tenant)
            .and_then(|policy| policy.max_in_flight);
        let running = self
            .live
            .iter()
            .filter(|((owner, _), row)| *owner == tenant && row.state == JobState::Running);
        if most.is_some_and(|most| count(running.count()) >= u64::from(most)) {
            return None;
        }
        let (key, row) = self
            .live
            .iter_mut()
            .filter(|((owner, _), row)| *owner == tenant && row.state == JobState::Ready)
            .filter(|(_, row)| row.spec.queue == claim.queue)
            .filter(|(_, row)| claim.kinds.contains(&row.spec.kind))
            .min_by_key(|((_, id), row)| (row.spec.priority, row.run_at, *id))?;
        row.state = JobState::Running;
        row.worker = Some(worker);
        row.attempt += 1;
        row.started_at = Some(now);
        Some(ClaimedJob {
            job: JobRef::new(key.0, key.1, row.attempt),
            max_attempts: row.max_attempts,
            kind: row.spec.kind.clone(),
            payload: serde_json::from_str(&row.spec.payload).unwrap_or_default(),
            principal: Some(row.principal.clone()),
            request: Some(row.request),
            timeout: row.spec.timeout,
            priority: row.spec.priority,
        })
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
