//! Progress of a plain handler, written now and then.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tenancy_core::{JobProgress, TenantCtx, TenantDb};
use tokio::time::Instant;

use crate::{Checkpoint, Error, JobLedger, JobRef, Progress, WorkerId};

/// Reports in between are folded together.
const EVERY: Duration = Duration::from_millis(500);

/// Writes the first report at once and later ones every half a second; the last one goes with the
/// end of the job.
pub(super) struct Reporter {
    db: TenantDb,
    ledger: Arc<dyn JobLedger>,
    ctx: TenantCtx,
    worker: WorkerId,
    job: JobRef,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Progress>,
    written: Option<Instant>,
}

impl Reporter {
    pub(super) fn new(
        db: TenantDb,
        ledger: Arc<dyn JobLedger>,
        ctx: TenantCtx,
        worker: WorkerId,
        job: JobRef,
    ) -> Self {
        Self {
            db,
            ledger,
            ctx,
            worker,
            job,
            state: Mutex::default(),
        }
    }

    /// The last report.
    pub(super) fn last(&self) -> Option<Progress> {
        self.locked().last
    }

    fn is_due(&self, progress: Progress) -> bool {
        let mut state = self.locked();
        state.last = Some(progress);
        let due = state
            .written
            .is_none_or(|written| written.elapsed() >= EVERY);
        if due {
            state.written = Some(Instant::now());
        }
        due
    }

    async fn write(&self, progress: Progress) -> Result<(), Error> {
        let mut tx = self.db.aside(&self.ctx).await?;
        let checkpoint = Checkpoint::new(progress.done, progress.total, None);
        let fence = self
            .ledger
            .checkpoint_in(&mut tx, self.worker, self.job, &checkpoint)
            .await?;
        if fence.is_held() {
            tx.commit().await?;
        }
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl JobProgress for Reporter {
    async fn report(&self, done: u64, total: u64) {
        let progress = Progress::new(done, Some(total));
        if self.is_due(progress)
            && let Err(error) = self.write(progress).await
        {
            tracing::debug!(%error, job = %self.job.id, "progress was not written");
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

/// For a batch: its steps say how far it is.
#[derive(Debug)]
pub(super) struct Silent;

#[async_trait]
impl JobProgress for Silent {
    async fn report(&self, _: u64, _: u64) {}
}
