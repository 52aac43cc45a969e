//! One try of one job.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use tenancy_core::{
    Access, Error as CoreError, ErrorKind as CoreKind, JobHandler, JobProgress, JobRun, Retry,
    TenantCtx, TxOptions,
};
use tracing::Instrument as _;

use super::{
    batch, bounded::bounded, close::SERVICE, engine::Engine, handlers::Handler, lease::Lease,
    progress::Reporter,
};
use crate::{ClaimedJob, Completion, Error, Fault, Settlement, TxHandler, Verdict};

/// Runs a job and settles it. A settlement comes back if the loop has to store it.
pub(super) async fn run(engine: &Engine, lease: &Lease, job: &ClaimedJob) -> Option<Settlement> {
    let span = tracing::info_span!(
        "job", tenant = %job.job.tenant, job = %job.job.id, kind = %job.kind, attempt = job.job.attempt
    );
    let attempt = Attempt { engine, lease, job };
    // A handler's panic is caught nearer to it. This net keeps a panic of our own, or of a port,
    // from leaving the job with a worker that has forgotten it.
    let ended = AssertUnwindSafe(attempt.run())
        .catch_unwind()
        .instrument(span)
        .await;
    ended.unwrap_or_else(|_| {
        let fault = Fault::new("worker_panicked", "the worker panicked beside the handler");
        let delay = engine.options.backoff.delay(job.job.attempt.unsigned_abs());
        let verdict = if job.has_tries_left() {
            Verdict::Retry { fault, delay }
        } else {
            Verdict::Failed(fault)
        };
        Some(Settlement::new(job.job, verdict))
    })
}

/// A try and what it needs.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) engine: &'a Engine,
    pub(super) lease: &'a Lease,
    pub(super) job: &'a ClaimedJob,
}

impl Attempt<'_> {
    async fn run(self) -> Option<Settlement> {
        if self.job.job.attempt > self.job.max_attempts {
            // Only workers that died leave a job in this state.
            let message = "the worker stopped answering at the last try";
            return self
                .close_as_service(Verdict::Failed(Fault::new("worker_lost", message)))
                .await;
        }
        let ctx = match self.enter().await {
            Ok(ctx) => ctx,
            Err(verdict) => return self.close_as_service(verdict).await,
        };
        match self.engine.handlers.get(&self.job.kind) {
            Some(Handler::Plain(handler)) => self.plain(&ctx, handler.as_ref()).await,
            Some(Handler::Tx(handler)) => self.in_tx(&ctx, handler.as_ref()).await,
            Some(Handler::Batch(handler)) => batch::run(self, &ctx, handler.as_ref()).await,
            None => Some(Settlement::new(self.job.job, Verdict::Release)),
        }
    }

    /// The tenant's context as the principal that enqueued the job, checked again.
    async fn enter(self) -> Result<TenantCtx, Verdict> {
        let Some(principal) = self.job.principal.clone() else {
            let fault = Fault::new("principal_unreadable", "who enqueued the job can't be read");
            return Err(Verdict::Parked(fault));
        };
        let entered = self
            .engine
            .db
            .enter_as(self.job.job.tenant, principal)
            .await;
        let ctx = entered.map_err(|error| self.refused(&error))?;
        if ctx.access() != Access::ReadWrite {
            // Handing it back where the tenant is open would go round in circles.
            return Err(if self.is_suspended().await {
                Verdict::Release
            } else {
                let message = "who enqueued the job may only read by now";
                Verdict::Parked(Fault::new("principal_read_only", message))
            });
        }
        let ctx = match self.job.request {
            Some(request) => ctx.with_request_id(request),
            None => ctx,
        };
        if let (Some(authorizer), Some(permission)) = (
            &self.engine.authorizer,
            self.engine.handlers.required(&self.job.kind),
        ) {
            let required = authorizer.require_key(&ctx, permission).await;
            required.map_err(|error| self.refused(&error))?;
        }
        Ok(ctx)
    }

    fn refused(self, error: &CoreError) -> Verdict {
        match error.kind() {
            // Suspended since the claim: no claim gives it out until the tenant is open again.
            CoreKind::Suspended => Verdict::Release,
            _ => self.verdict_of(error),
        }
    }

    async fn plain(self, ctx: &TenantCtx, handler: &dyn JobHandler) -> Option<Settlement> {
        let reporter = self.reporter(ctx);
        let run = self.job_run(reporter.clone());
        let done = self.bounded(handler.run(ctx, &run), &run).await;
        let verdict = match done {
            Ok(value) => Verdict::Succeeded(value),
            Err(error) => self.failed(&error).await?,
        };
        let settlement = Settlement::new(self.job.job, verdict).with_progress(reporter.last());
        match (self.engine.options.completion, &settlement.verdict) {
            (Completion::Batched, Verdict::Succeeded(_)) => self.record(ctx, settlement).await,
            _ => self.close(ctx, settlement).await,
        }
    }

    async fn in_tx(self, ctx: &TenantCtx, handler: &dyn TxHandler) -> Option<Settlement> {
        let reporter = self.reporter(ctx);
        let run = self.job_run(reporter.clone());
        let done = self.try_in_tx(ctx, handler, &run, &reporter).await;
        let Err(error) = done else { return None };
        let settlement = Settlement::new(self.job.job, self.failed(&error).await?);
        self.close(ctx, settlement.with_progress(reporter.last()))
            .await
    }

    /// Effects, audit entry and the end of the job in one commit, or none of it.
    async fn try_in_tx(
        self,
        ctx: &TenantCtx,
        handler: &dyn TxHandler,
        run: &JobRun,
        reporter: &Reporter,
    ) -> Result<(), CoreError> {
        let mut tx = self.engine.db.write_with(ctx, &self.tx_options()).await?;
        let value = self.bounded(handler.run_in(&mut tx, run), run).await?;
        let settlement =
            Settlement::new(self.job.job, Verdict::Succeeded(value)).with_progress(reporter.last());
        // Held or not, the job is over for this worker.
        let _ = self.finish_in(tx, &settlement).await?;
        Ok(())
    }

    pub(super) async fn bounded<T>(
        self,
        work: impl Future<Output = Result<T, CoreError>>,
        run: &JobRun,
    ) -> Result<T, CoreError> {
        bounded(work, self.job.timeout, &run.cancel, &self.lease.stopping).await
    }

    pub(super) fn tx_options(self) -> TxOptions {
        TxOptions::default().with_statement_timeout(self.job.timeout)
    }

    pub(super) fn reporter(self, ctx: &TenantCtx) -> Arc<Reporter> {
        let (db, ledger) = (self.engine.db.clone(), Arc::clone(&self.engine.ledger));
        Arc::new(Reporter::new(
            db,
            ledger,
            ctx.clone(),
            self.lease.worker(),
            self.job.job,
        ))
    }

    pub(super) fn job_run(self, reporter: Arc<dyn JobProgress>) -> JobRun {
        let attempt = u16::try_from(self.job.job.attempt).unwrap_or(u16::MAX);
        JobRun::new(self.job.job.id, attempt, self.job.payload.clone(), reporter)
            .with_cancel(self.lease.cancellation(self.job.job))
    }

    /// What becomes of a job whose handler failed; `None` if it is not this worker's any more.
    pub(super) async fn failed(self, error: &CoreError) -> Option<Verdict> {
        if self.lease.stopping.is_cancelled() {
            return Some(Verdict::Release);
        }
        tracing::info!(%error, code = error.code(), "a try failed");
        if self.lease.lost.is_cancelled() {
            return None;
        }
        if self.is_suspended().await {
            tracing::info!("the tenant was suspended: the job waits until it is open again");
            return Some(Verdict::Release);
        }
        Some(self.verdict_of(error))
    }

    /// Whether the tenant was suspended during the try, so that its failure says nothing of the job.
    async fn is_suspended(self) -> bool {
        let tenant = self.job.job.tenant;
        let entered = self.engine.db.enter_system(tenant, SERVICE, Vec::new());
        match entered.await {
            Ok(ctx) => ctx.access() != Access::ReadWrite,
            Err(error) => error.kind() == CoreKind::Suspended,
        }
    }

    fn verdict_of(self, error: &CoreError) -> Verdict {
        let fault = Fault::from(error);
        let backoff = self
            .engine
            .options
            .backoff
            .delay(self.job.job.attempt.unsigned_abs());
        match (error.kind(), error.retry()) {
            (CoreKind::NotAMember | CoreKind::Denied, _) => Verdict::Parked(fault),
            (CoreKind::CommitOutcomeUnknown | CoreKind::Suspended, _) | (_, Retry::Backoff)
                if self.job.has_tries_left() =>
            {
                Verdict::Retry {
                    fault,
                    delay: backoff,
                }
            }
            (_, Retry::After(wait)) if self.job.has_tries_left() => Verdict::Retry {
                fault,
                delay: wait.max(backoff),
            },
            _ => Verdict::Failed(fault),
        }
    }
}

/// A result that could not be recorded is tried again, and in the end given up.
pub(super) fn unrecorded(
    attempt: Attempt<'_>,
    settlement: Settlement,
    error: &Error,
) -> Settlement {
    let fault = Fault::new(error.code(), error.to_string());
    let delay = attempt
        .engine
        .options
        .backoff
        .delay(attempt.job.job.attempt.unsigned_abs());
    match settlement.verdict {
        Verdict::Succeeded(_) if attempt.job.has_tries_left() => Settlement {
            verdict: Verdict::Retry { fault, delay },
            ..settlement
        },
        Verdict::Succeeded(_) => Settlement {
            verdict: Verdict::Failed(fault),
            ..settlement
        },
        _ => settlement,
    }
}
