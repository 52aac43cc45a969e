//! A list in the place of a queue.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use async_trait::async_trait;

use super::fakes::locked;
use crate::{
    Access, Error, ErrorKind, JobId, JobKind, JobSink, NewJob, TenantCtx, TenantId, TenantTx,
    model::checked_job,
};

/// Keeps enqueued jobs in a list. Jobs of a transaction appear when it commits.
#[derive(Clone, Debug, Default)]
pub struct MemoryJobs(Arc<Mutex<State>>);

type Key = (TenantId, JobKind, String);

#[derive(Debug, Default)]
struct State {
    jobs: Vec<(TenantId, JobId, NewJob)>,
    /// Keys of transactions that are open. The hook of each holds the other end, so that a key of
    /// a transaction that was rolled back is free again.
    open: HashMap<Key, (JobId, Weak<()>)>,
}

impl State {
    fn known(&self, key: &Key) -> Option<JobId> {
        let (tenant, kind, text) = key;
        let stored = self.jobs.iter().find(|(other, _, job)| {
            other == tenant && job.kind == *kind && job.idempotency_key.as_ref() == Some(text)
        });
        let open = || {
            let (id, alive) = self.open.get(key)?;
            (alive.strong_count() > 0).then_some(*id)
        };
        stored.map(|(_, id, _)| *id).or_else(open)
    }

    fn store(&mut self, tenant: TenantId, id: JobId, job: NewJob) {
        if self.jobs.iter().all(|(_, known, _)| *known != id) {
            self.jobs.push((tenant, id, job));
        }
    }
}

impl MemoryJobs {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every job, oldest first.
    pub fn jobs(&self) -> Vec<(TenantId, JobId, NewJob)> {
        locked(&self.0).jobs.clone()
    }
}

fn key(ctx: &TenantCtx, job: &NewJob) -> Option<Key> {
    let text = job.idempotency_key.clone()?;
    Some((ctx.tenant(), job.kind.clone(), text))
}

#[async_trait]
impl JobSink for MemoryJobs {
    async fn enqueue(&self, ctx: &TenantCtx, job: NewJob) -> Result<JobId, Error> {
        checked_job(&job)?;
        if ctx.access() != Access::ReadWrite {
            let message = "the tenant is suspended and can only be read";
            return Err(Error::new(
                ErrorKind::Suspended,
                "tenant_read_only",
                message,
            ));
        }
        let mut state = locked(&self.0);
        let known = key(ctx, &job).and_then(|key| state.known(&key));
        let id = known.unwrap_or_else(JobId::new);
        state.store(ctx.tenant(), id, job);
        Ok(id)
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, job: NewJob) -> Result<JobId, Error> {
        checked_job(&job)?;
        let (alive, key, tenant) = (Arc::new(()), key(tx.ctx(), &job), tx.ctx().tenant());
        let id = {
            let mut state = locked(&self.0);
            let known = key.as_ref().and_then(|key| state.known(key));
            let id = known.unwrap_or_else(JobId::new);
            if let Some(key) = key {
                state.open.insert(key, (id, Arc::downgrade(&alive)));
            }
            id
        };
        let list = Arc::clone(&self.0);
        tx.after_commit(move || {
            locked(&list).store(tenant, id, job);
            drop(alive);
        });
        Ok(id)
    }
}
