//! A long job in steps: what each does, its checkpoint and its progress are one commit.

use std::sync::Arc;

use tenancy_core::{Error as CoreError, JobRun, TenantCtx};

use super::{attempt::Attempt, progress::Silent};
use crate::{BatchHandler, Checkpoint, Chunk, Error, Progress, Settlement, Verdict};

/// What a step led to.
enum Step {
    /// There is more, from here on.
    More(Checkpoint),
    /// The step was not committed: the job is somebody else's, or its tenant was suspended.
    Refused,
    /// The job has ended.
    Over,
}

/// Runs steps until the last, an error, or the end of the worker.
pub(super) async fn run(
    attempt: Attempt<'_>,
    ctx: &TenantCtx,
    handler: &dyn BatchHandler,
) -> Option<Settlement> {
    let run = attempt.job_run(Arc::new(Silent));
    let mut batch = Batch {
        attempt,
        ctx,
        handler,
        run: Arc::new(run),
        steps: 0,
    };
    let settlement = |verdict| Settlement::new(attempt.job.job, verdict);
    let error = match batch.work().await {
        Ok(true) => return None,
        Ok(false) => return Some(settlement(Verdict::Release)),
        Err(error) => CoreError::from(error),
    };
    let verdict = match attempt.failed(&error).await? {
        Verdict::Retry { fault, delay } if batch.steps > 0 => Verdict::Resume { fault, delay },
        other => other,
    };
    attempt.close(ctx, settlement(verdict)).await
}

struct Batch<'a> {
    attempt: Attempt<'a>,
    ctx: &'a TenantCtx,
    handler: &'a dyn BatchHandler,
    run: Arc<JobRun>,
    /// Steps that this try committed.
    steps: u64,
}

impl Batch<'_> {
    /// True: the job has ended. False: it is handed back, because the worker stops, or the tenant
    /// was suspended; where somebody else has it, handing it back is refused as stale.
    async fn work(&mut self) -> Result<bool, Error> {
        let ledger = &self.attempt.engine.ledger;
        let known = ledger.checkpoint(self.ctx, self.attempt.job.job.id).await?;
        let mut at = known.unwrap_or_default();
        loop {
            if self.run.cancel.is_cancelled() || self.attempt.lease.lost.is_cancelled() {
                return Ok(false);
            }
            match self.step(at).await? {
                Step::More(next) => at = next,
                Step::Refused => return Ok(false),
                Step::Over => return Ok(true),
            }
            self.steps += 1;
        }
    }

    async fn step(&self, mut at: Checkpoint) -> Result<Step, Error> {
        let Attempt { engine, lease, job } = self.attempt;
        let mut tx = engine
            .db
            .write_with(self.ctx, &self.attempt.tx_options())
            .await?;
        let work = async {
            if at.cursor.is_none() && at.total.is_none() {
                at.total = self.handler.total(&mut tx, &self.run).await?;
            }
            self.handler.chunk(&mut tx, &self.run, &at).await
        };
        let chunk = self.attempt.bounded(work, &self.run).await?;
        match chunk {
            Chunk::More { items, cursor } => {
                let next = at.advanced(items, Some(cursor));
                let fence = engine
                    .ledger
                    .checkpoint_in(&mut tx, lease.worker(), job.job, &next)
                    .await?;
                if !fence.is_held() {
                    tx.rollback().await?;
                    return Ok(Step::Refused);
                }
                tx.commit().await?;
                Ok(Step::More(next))
            }
            Chunk::End { items, result } => {
                let next = at.advanced(items, None);
                let progress = Progress::new(next.done, next.total);
                let settlement = Settlement::new(job.job, Verdict::Succeeded(result))
                    .with_progress(Some(progress));
                // Held or not, the job is over for this worker.
                let _ = self.attempt.finish_in(tx, &settlement).await?;
                Ok(Step::Over)
            }
        }
    }
}
