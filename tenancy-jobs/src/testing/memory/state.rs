use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tenancy_core::{JobId, Principal, RequestId, TenantCtx, TenantId};

use crate::{
    Checkpoint, Fault, Fence, JobRef, JobSpec, JobState, JobView, Progress, Settlement,
    TenantPolicy, Verdict, WorkerId, WorkerInfo,
};

pub(super) type Key = (TenantId, JobId);

/// A job that lives or is dead.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) spec: JobSpec,
    pub(super) principal: Principal,
    pub(super) request: RequestId,
    pub(super) state: JobState,
    pub(super) attempt: i32,
    pub(super) max_attempts: i32,
    pub(super) worker: Option<WorkerId>,
    pub(super) run_at: DateTime<Utc>,
    pub(super) enqueued_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) died_at: Option<DateTime<Utc>>,
    pub(super) fault: Option<Fault>,
}

#[derive(Debug)]
pub(super) struct KnownKey {
    pub(super) job: JobId,
    keep: Duration,
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) live: BTreeMap<Key, Row>,
    pub(super) dead: BTreeMap<Key, Row>,
    pub(super) history: BTreeMap<Key, JobView>,
    pub(super) keys: HashMap<(TenantId, [u8; 32]), KnownKey>,
    pub(super) progress: HashMap<Key, Checkpoint>,
    pub(super) workers: HashMap<WorkerId, (WorkerInfo, DateTime<Utc>)>,
    pub(super) policies: HashMap<TenantId, TenantPolicy>,
}

impl State {
    pub(super) fn enqueue(&mut self, ctx: &TenantCtx, spec: JobSpec) -> JobId {
        let (tenant, id, now) = (ctx.tenant(), spec.id, Utc::now());
        if let Some(hash) = spec.key_hash {
            if let Some(known) = self.known(tenant, hash) {
                return known;
            }
            let key = KnownKey {
                job: id,
                keep: spec.keep_key,
                expires_at: None,
            };
            self.keys.insert((tenant, hash), key);
        }
        let run_at = spec.run_at.unwrap_or(now);
        let row = Row {
            principal: ctx.principal().clone(),
            request: ctx.request_id(),
            state: if run_at > now {
                JobState::Scheduled
            } else {
                JobState::Ready
            },
            attempt: 0,
            max_attempts: i32::from(spec.max_attempts),
            worker: None,
            run_at,
            enqueued_at: now,
            started_at: None,
            died_at: None,
            fault: None,
            spec,
        };
        self.live.insert((tenant, id), row);
        id
    }

    /// The job that has a key, unless the key's time is up.
    pub(super) fn known(&self, tenant: TenantId, hash: [u8; 32]) -> Option<JobId> {
        let known = self.keys.get(&(tenant, hash))?;
        known
            .expires_at
            .is_none_or(|at| at > Utc::now())
            .then_some(known.job)
    }

    pub(super) fn fence(&self, worker: WorkerId, job: JobRef) -> Fence {
        let row = self.live.get(&(job.tenant, job.id));
        Fence::held_if(row.is_some_and(|row| {
            row.state == JobState::Running
                && row.worker == Some(worker)
                && row.attempt == job.attempt
        }))
    }

    pub(super) fn settle(&mut self, worker: WorkerId, settlement: Settlement) -> Fence {
        let Settlement {
            job,
            verdict,
            progress,
        } = settlement;
        let key = (job.tenant, job.id);
        let fence = self.fence(worker, job);
        let Some(mut row) = fence.is_held().then(|| self.live.remove(&key)).flatten() else {
            return Fence::Lost;
        };
        row.fault = verdict.fault().cloned().or(row.fault);
        match verdict {
            Verdict::Succeeded(value) => {
                self.end(key, &row, JobState::Succeeded, Some(value), progress);
            }
            Verdict::Failed(_) => self.die(key, row, JobState::Failed),
            Verdict::Parked(_) => self.die(key, row, JobState::Parked),
            Verdict::Release => {
                row.attempt -= 1;
                self.again(key, row, None);
            }
            Verdict::Resume { delay, .. } => {
                row.attempt -= 1;
                self.again(key, row, Some(delay));
            }
            Verdict::Retry { delay, .. } => self.again(key, row, Some(delay)),
        }
        fence
    }

    pub(super) fn again(&mut self, key: Key, mut row: Row, delay: Option<Duration>) {
        let is_later = delay.is_some_and(|delay| !delay.is_zero());
        row.state = if is_later {
            JobState::Scheduled
        } else {
            JobState::Ready
        };
        if let Some(delay) = delay {
            row.run_at = Utc::now() + TimeDelta::from_std(delay).unwrap_or_default();
        }
        row.worker = None;
        row.started_at = None;
        self.live.insert(key, row);
    }

    fn die(&mut self, key: Key, row: Row, state: JobState) {
        self.expire(key.0, &row.spec);
        let died_at = Some(Utc::now());
        self.dead.insert(
            key,
            Row {
                state,
                died_at,
                worker: None,
                ..row
            },
        );
    }

    pub(super) fn end(
        &mut self,
        key: Key,
        row: &Row,
        state: JobState,
        result: Option<Value>,
        progress: Option<Progress>,
    ) {
        self.expire(key.0, &row.spec);
        let reached = self
            .progress
            .remove(&key)
            .map(|at| Progress::new(at.done, at.total));
        let mut view = view(row, progress.or(reached));
        view.state = state;
        view.finished_at = Some(Utc::now());
        view.run_at = None;
        view.payload = None;
        view.result = result;
        if state == JobState::Succeeded {
            view.fault = None;
        }
        self.history.insert(key, view);
    }

    fn expire(&mut self, tenant: TenantId, spec: &JobSpec) {
        let key = spec
            .key_hash
            .and_then(|hash| self.keys.get_mut(&(tenant, hash)));
        if let Some(key) = key.filter(|key| key.job == spec.id) {
            let keep = TimeDelta::from_std(key.keep).unwrap_or(TimeDelta::MAX);
            key.expires_at = Utc::now().checked_add_signed(keep);
        }
    }

    pub(super) fn unexpire(&mut self, tenant: TenantId, spec: &JobSpec) {
        let key = spec
            .key_hash
            .and_then(|hash| self.keys.get_mut(&(tenant, hash)));
        if let Some(key) = key.filter(|key| key.job == spec.id) {
            key.expires_at = None;
        }
    }

    pub(super) fn forget_keys(&mut self, now: DateTime<Utc>) -> usize {
        let before = self.keys.len();
        self.keys
            .retain(|_, key| key.expires_at.is_none_or(|at| at > now));
        before - self.keys.len()
    }

    pub(super) fn view(&self, key: Key) -> Option<JobView> {
        let progress = self
            .progress
            .get(&key)
            .map(|at| Progress::new(at.done, at.total));
        let row = self.live.get(&key).or_else(|| self.dead.get(&key));
        row.map(|row| view(row, progress))
            .or_else(|| self.history.get(&key).cloned())
    }
}

fn view(row: &Row, progress: Option<Progress>) -> JobView {
    JobView {
        id: row.spec.id,
        queue: row.spec.queue.clone(),
        kind: row.spec.kind.clone(),
        state: row.state,
        priority: row.spec.priority,
        attempt: u16::try_from(row.attempt).unwrap_or(u16::MAX),
        max_attempts: u16::try_from(row.max_attempts).unwrap_or(u16::MAX),
        enqueued_at: row.enqueued_at,
        run_at: row.died_at.is_none().then_some(row.run_at),
        started_at: row.started_at,
        finished_at: row.died_at,
        request: Some(row.request),
        payload: serde_json::from_str(&row.spec.payload).ok(),
        result: None,
        fault: row.fault.clone(),
        progress,
    }
}
