//! What one registration of the worker holds.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tenancy_core::JobId;
use tokio_util::sync::CancellationToken;

use crate::{JobRef, WorkerId, WorkerInfo};

/// The jobs of a worker that is on the list, and the ways in which it ends.
pub(super) struct Lease {
    pub(super) info: WorkerInfo,
    /// Cancelled when the worker was taken for dead: nothing it holds is its own any more.
    pub(super) lost: CancellationToken,
    /// Cancelled when the worker is asked to stop.
    pub(super) stopping: CancellationToken,
    held: Mutex<HashMap<(JobId, i32), Held>>,
}

#[derive(Clone)]
struct Held {
    job: JobRef,
    cancel: CancellationToken,
}

impl Lease {
    pub(super) fn new(info: WorkerInfo) -> Self {
        Self {
            info,
            lost: CancellationToken::new(),
            stopping: CancellationToken::new(),
            held: Mutex::default(),
        }
    }

    pub(super) fn worker(&self) -> WorkerId {
        self.info.id
    }

    /// Takes a job over; the token is cancelled when the job is not the worker's any more.
    pub(super) fn hold(&self, job: JobRef) {
        let held = Held {
            job,
            cancel: self.stopping.child_token(),
        };
        self.locked().insert(key(job), held);
    }

    pub(super) fn cancellation(&self, job: JobRef) -> CancellationToken {
        let known = self.locked().get(&key(job)).map(|held| held.cancel.clone());
        known.unwrap_or_else(|| self.stopping.child_token())
    }

    pub(super) fn let_go(&self, job: JobRef) {
        self.locked().remove(&key(job));
    }

    pub(super) fn jobs(&self) -> HashSet<JobRef> {
        self.locked().values().map(|held| held.job).collect()
    }

    /// Tells the handlers of these jobs that they work for nothing.
    pub(super) fn revoke(&self, jobs: impl IntoIterator<Item = JobRef>) {
        let held = self.locked();
        for job in jobs {
            if let Some(held) = held.get(&key(job)) {
                held.cancel.cancel();
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<(JobId, i32), Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(job: JobRef) -> (JobId, i32) {
    (job.id, job.attempt)
}
