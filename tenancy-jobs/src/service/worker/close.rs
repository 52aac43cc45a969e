//! The end of a try: fenced, with its audit entry in the same commit.

use std::time::Duration;

use tenancy_core::{
    Access, ErrorKind as CoreKind, Event, Outcome, ServiceKey, TenantCtx, TenantTx,
};

use super::attempt::{Attempt, unrecorded};
use crate::{Backoff, Error, ErrorKind, Fence, Settlement, Verdict};

/// Who records that a job ended whose own principal can't be entered any more.
pub(super) const SERVICE: ServiceKey = ServiceKey::from_static("jobs");
/// Waits between attempts to store the end of a try.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// How often storing the end of a try is attempted before the loop's own statement has to do.
const ATTEMPTS: u32 = 5;

impl Attempt<'_> {
    /// Settles and records in one transaction. What that can't take comes back for the loop.
    pub(super) async fn close(self, ctx: &TenantCtx, settlement: Settlement) -> Option<Settlement> {
        let mut failures = 0;
        loop {
            let closed = self.try_close(ctx, &settlement).await;
            let Err(error) = closed else { return None };
            failures += 1;
            let transient =
                error.retry().is_retryable() || error.kind() == ErrorKind::CommitOutcomeUnknown;
            if !transient || failures == ATTEMPTS {
                count_unaudited(&settlement, &error);
                return Some(unrecorded(self, settlement, &error));
            }
            tokio::time::sleep(AGAIN.delay(failures)).await;
        }
    }

    async fn try_close(self, ctx: &TenantCtx, settlement: &Settlement) -> Result<Fence, Error> {
        // A suspended tenant is not written to, but a job's end is not the tenant's doing.
        let tx = match ctx.access() {
            Access::ReadWrite => match self.engine.db.write(ctx).await {
                Err(error) if error.kind() == CoreKind::Suspended => {
                    self.engine.db.aside(ctx).await?
                }
                opened => opened?,
            },
            _ => self.engine.db.aside(ctx).await?,
        };
        self.finish_in(tx, settlement).await
    }

    /// Writes the end of the job and its audit entry, and commits, if the fence holds; rolls
    /// everything back otherwise.
    pub(super) async fn finish_in(
        self,
        mut tx: TenantTx,
        settlement: &Settlement,
    ) -> Result<Fence, Error> {
        let worker = self.lease.worker();
        let fence = self
            .engine
            .ledger
            .settle_in(&mut tx, worker, settlement)
            .await?;
        if !fence.is_held() {
            self.discard();
            tx.rollback().await?;
            return Ok(fence);
        }
        if let Some(event) = self.event(settlement) {
            self.engine.audit.record_in(&mut tx, event).await?;
        }
        tx.commit().await?;
        self.engine.counters.settled(&settlement.verdict);
        Ok(fence)
    }

    /// Settles a job whose principal could not be entered, as the queue itself.
    pub(super) async fn close_as_service(self, verdict: Verdict) -> Option<Settlement> {
        let settlement = Settlement::new(self.job.job, verdict);
        if !settlement.verdict.is_final() {
            return Some(settlement);
        }
        let tenant = self.job.job.tenant;
        match self
            .engine
            .db
            .enter_system(tenant, SERVICE, Vec::new())
            .await
        {
            Ok(ctx) => {
                let ctx = match self.job.request {
                    Some(request) => ctx.with_request_id(request),
                    None => ctx,
                };
                self.close(&ctx, settlement).await
            }
            // Its end can wait as the job can.
            Err(error) if error.kind() == CoreKind::Suspended => {
                Some(Settlement::new(self.job.job, Verdict::Release))
            }
            Err(error) => {
                count_unaudited(&settlement, &Error::from(error));
                Some(settlement)
            }
        }
    }

    /// Records a success by itself; the loop settles it with others.
    pub(super) async fn record(
        self,
        ctx: &TenantCtx,
        settlement: Settlement,
    ) -> Option<Settlement> {
        let Some(event) = self.event(&settlement) else {
            return Some(settlement);
        };
        match self.engine.audit.record(ctx, event).await {
            Ok(()) => Some(settlement),
            Err(error) => {
                let error = Error::from(error);
                count_unaudited(&settlement, &error);
                Some(unrecorded(self, settlement, &error))
            }
        }
    }

    /// Somebody else has the job by now: what this try did counts for nothing.
    pub(super) fn discard(self) {
        self.engine.counters.stale(1);
        tracing::warn!("a job was given to another worker meanwhile; this try is discarded");
    }

    fn event(self, settlement: &Settlement) -> Option<Event> {
        let (action, outcome) = match settlement.verdict {
            Verdict::Succeeded(_) => ("job.succeeded", Outcome::Allowed),
            Verdict::Failed(_) => ("job.failed", Outcome::Error),
            Verdict::Parked(_) => ("job.parked", Outcome::Denied),
            Verdict::Release | Verdict::Resume { .. } | Verdict::Retry { .. } => return None,
        };
        let mut event = Event::new(action)
            .outcome(outcome)
            .target("job", self.job.job.id)
            .meta("kind", self.job.kind.as_str())
            .meta("queue", self.engine.queue.as_str())
            .meta("attempt", self.job.job.attempt);
        if let Some(fault) = settlement.verdict.fault() {
            event = event.meta("code", fault.code.as_str());
        }
        if let Some(progress) = settlement.progress {
            event = event.meta("items", progress.done);
        }
        Some(event)
    }
}

fn count_unaudited(settlement: &Settlement, error: &Error) {
    if settlement.verdict.is_final() {
        metrics::counter!("tenancy_jobs_unaudited_total").increment(1);
        let outcome = settlement.verdict.as_str();
        tracing::error!(%error, outcome, "the end of a job could not be recorded");
    }
}
