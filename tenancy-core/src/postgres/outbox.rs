//! A plain outbox: work that commits with the change that asks for it, and is handed over later.

use std::{collections::HashSet, fmt, time::Duration};

use async_trait::async_trait;
use sqlx::types::Json;
use tokio::time::{Instant, timeout};

use super::{
    db::TenantDb,
    turns::{Shares, Turns},
    tx::TenantTx,
    worker::WorkerDb,
};
use crate::{
    Drained, Error, ErrorKind, JobId, JobKind, JobSink, NewJob, OutboxJob, Principal, RequestId,
    TenantCtx, TenantId, model::checked_job,
};

/// [`JobSink`] for a host without `tenancy-jobs`, whose queue is somewhere else.
///
/// Work is stored in the caller's transaction; an [`Outbox`] hands it over to the host's queue.
/// A payload is at most 256 KiB of JSON, an idempotency key at most 512 bytes. Tenants take turns, and
/// of one tenant what is due first goes first; there is no priority here.
///
/// ```no_run
/// # use tenancy_core::{Error, JobKind, JobSink, NewJob, OutboxSink, TenantCtx, TenantDb};
/// # async fn run(db: TenantDb, ctx: TenantCtx) -> Result<(), Error> {
/// let jobs = OutboxSink::new(db.clone());
/// let mut tx = db.write(&ctx).await?;
/// let mail = NewJob::new(JobKind::from_static("mail.send"), serde_json::json!({"to": 7}));
/// jobs.enqueue_in(&mut tx, mail).await?;
/// tx.commit().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct OutboxSink {
    db: TenantDb,
}

impl OutboxSink {
    /// Stores in this database.
    pub fn new(db: TenantDb) -> Self {
        Self { db }
    }
}

#[async_trait]
impl JobSink for OutboxSink {
    async fn enqueue(&self, ctx: &TenantCtx, job: NewJob) -> Result<JobId, Error> {
        let payload = checked_job(&job)?;
        let mut tx = self.db.write(ctx).await?;
        let id = put(&mut tx, job, payload).await?;
        tx.commit().await?;
        Ok(id)
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, job: NewJob) -> Result<JobId, Error> {
        let payload = checked_job(&job)?;
        put(tx, job, payload).await
    }
}

async fn put(tx: &mut TenantTx, job: NewJob, payload: String) -> Result<JobId, Error> {
    let ctx = tx.ctx().clone();
    let timeout = job
        .timeout
        .map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
    let stored: Option<JobId> = sqlx::query_scalar(include_str!("sql/outbox_put.sql"))
        .bind(ctx.tenant())
        .bind(JobId::new())
        .bind(ctx.request_id())
        .bind(job.run_at)
        .bind(timeout)
        .bind(job.max_attempts.map(i32::from))
        .bind(job.priority)
        .bind(job.kind.as_str())
        .bind(job.idempotency_key.as_deref())
        .bind(payload)
        .bind(Json(ctx.principal()))
        .fetch_optional(&mut **tx)
        .await?;
    if let Some(id) = stored {
        return Ok(id);
    }
    // A statement of its own: only a new snapshot sees what was waited for.
    let known: Option<JobId> = sqlx::query_scalar(include_str!("sql/outbox_known.sql"))
        .bind(ctx.tenant())
        .bind(job.kind.as_str())
        .bind(job.idempotency_key)
        .fetch_optional(&mut **tx)
        .await?;
    known.ok_or_else(|| {
        let message = "another transaction stored this idempotency key and can't be seen from here";
        Error::new(ErrorKind::Unavailable, "job_key_contended", message)
    })
}

/// Most jobs of one claim.
const MAX_CLAIM: u16 = 500;
/// How long a page is given to be handed over, before others may try, and one job of it.
const LEASE: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// Least and most between two tries to hand a job over.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(10));
/// For how long an idempotency key is known after its job was handed over.
const KEEP_KEYS: Duration = Duration::from_hours(7 * 24);
/// Most keys forgotten at once.
const PURGE: i32 = 1_000;

/// Hands over what an [`OutboxSink`] stored, across tenants, as the worker.
///
/// Tenants take turns: however much one of them has, and whether it is open or suspended, each page
/// has room for the others. Whose turn it is, clones of a value know together.
///
/// At least once: what was handed over and not settled, because its process died, is handed over
/// again when its lease of a minute is over. Jobs of suspended tenants wait until they are open
/// again, and it does not count as a try. A job that can't be handed over, or takes longer than ten
/// seconds, is tried again after 2 seconds at first and 10 minutes at most, and never dropped.
///
/// ```no_run
/// # async fn run(worker: tenancy_core::WorkerDb) -> Result<(), tenancy_core::Error> {
/// use tenancy_core::Outbox;
///
/// let outbox = Outbox::new(worker);
/// loop {
///     let drained = outbox
///         .drain(100, |job| async move {
///             println!("{} for {}: {}", job.job.kind, job.tenant, job.job.payload);
///             Ok(())
///         })
///         .await?;
///     if !drained.more {
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     }
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Outbox {
    worker: WorkerDb,
    lease: Duration,
    patience: Duration,
    turns: Turns,
}

impl Outbox {
    /// Hands over from this database.
    pub fn new(worker: WorkerDb) -> Self {
        Self {
            worker,
            lease: LEASE,
            patience: PATIENCE,
            turns: Turns::new(include_str!("sql/outbox_tenants.sql")),
        }
    }

    /// Sets how long a page is given to be handed over; a minute by default, an hour at most.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease.clamp(Duration::from_millis(100), Duration::from_hours(1));
        self
    }

    /// Sets how long one job is given to be handed over; ten seconds by default, a quarter of the page's
    /// time at most.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience.max(Duration::from_millis(10));
        self
    }

    /// Claims a page of at most `limit` jobs (500 at most), hands each to `deliver`, one after the
    /// other, and settles them. The first of each tenant comes before the second of any; those of one
    /// tenant come in the order in which they were due.
    ///
    /// `deliver` is called at least once for each job: the queue behind it should look at the id. One
    /// that takes too long is dropped, and that job has failed; the others of its tenant wait until the
    /// page's lease is over, and those of other tenants go on. What could not be begun in time is left to
    /// the next call as well.
    ///
    /// # Errors
    /// Only of this database; an error of `deliver` is stored with its job.
    pub async fn drain<F, D>(&self, limit: u16, mut deliver: F) -> Result<Drained, Error>
    where
        F: FnMut(OutboxJob) -> D + Send,
        D: Future<Output = Result<(), Error>> + Send,
    {
        let until = Instant::now() + self.lease;
        let patience = self.patience.min(self.lease / 4);
        let limit = limit.clamp(1, MAX_CLAIM);
        let claim = |tenants, shares| self.claim_of(tenants, shares);
        let (rows, more) = self.turns.page(&self.worker, limit, claim).await?;
        let mut drained = Drained {
            more,
            ..Drained::default()
        };
        let mut ends = Vec::with_capacity(rows.len());
        let mut slow = HashSet::new();
        for row in rows {
            // Also the last one has all of its time before others may try it.
            if Instant::now() + patience > until {
                break;
            }
            let try_of = (row.tenant_id, row.id, row.attempt);
            if slow.contains(&row.tenant_id) {
                continue;
            }
            let delivering = async {
                // One that can't be read is put off, and does not stand in the way of others.
                match OutboxJob::try_from(row) {
                    Ok(job) => deliver(job).await,
                    Err(error) => Err(error),
                }
            };
            let outcome = timeout(patience, delivering).await.unwrap_or_else(|_| {
                slow.insert(try_of.0);
                Err(too_slow())
            });
            match &outcome {
                Ok(()) => drained.delivered += 1,
                Err(_) => drained.failed += 1,
            }
            ends.push((try_of, outcome.err()));
        }
        self.settle(ends).await?;
        self.purge().await?;
        metrics::counter!("tenancy_outbox_delivered_total").increment(drained.delivered);
        metrics::counter!("tenancy_outbox_failed_total").increment(drained.failed);
        Ok(drained)
    }

    async fn claim_of(&self, tenants: Vec<TenantId>, shares: Shares) -> Result<Vec<Row>, Error> {
        Ok(sqlx::query_as(include_str!("sql/outbox_claim.sql"))
            .bind(tenants)
            .bind(shares.each)
            .bind(shares.all)
            .bind(i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX))
            .fetch_all(self.worker.pool())
            .await?)
    }

    async fn settle(&self, ends: Vec<(Try, Option<Error>)>) -> Result<(), Error> {
        if ends.is_empty() {
            return Ok(());
        }
        let (mut tenants, mut ids, mut attempts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut errors, mut delays) = (Vec::new(), Vec::new());
        for ((tenant, id, attempt), error) in ends {
            tenants.push(tenant.as_uuid());
            ids.push(id.as_uuid());
            attempts.push(attempt);
            if let Some(error) = &error {
                tracing::warn!(%tenant, job = %id, %error, code = error.code(), "a job could not be handed over");
            }
            errors.push(error.map(|error| shown(&error)));
            delays.push(i64::try_from(back_off(attempt).as_millis()).unwrap_or(i64::MAX));
        }
        sqlx::query(include_str!("sql/outbox_settle.sql"))
            .bind(tenants)
            .bind(ids)
            .bind(attempts)
            .bind(errors)
            .bind(delays)
            .execute(self.worker.pool())
            .await?;
        Ok(())
    }

    async fn purge(&self) -> Result<(), Error> {
        sqlx::query(include_str!("sql/outbox_purge.sql"))
            .bind(i64::try_from(KEEP_KEYS.as_secs()).unwrap_or(i64::MAX))
            .bind(PURGE)
            .execute(self.worker.pool())
            .await?;
        Ok(())
    }
}

fn too_slow() -> Error {
    let message = "the hand-over took too long";
    Error::new(ErrorKind::Unavailable, "job_hand_over_slow", message)
}

/// Which try of which job.
type Try = (TenantId, JobId, i32);

fn back_off(attempt: i32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.unsigned_abs().saturating_sub(1).min(31));
    BACK_OFF.0.saturating_mul(doubled).min(BACK_OFF.1)
}

/// What is kept of an error: no NUL, and no more than the column takes.
fn shown(error: &Error) -> String {
    let text = format!("{}: {error}", error.code());
    text.chars().filter(|c| *c != '\0').take(2_000).collect()
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: TenantId,
    id: JobId,
    request_id: Option<RequestId>,
    attempt: i32,
    kind: String,
    idempotency_key: Option<String>,
    payload: serde_json::Value,
    principal: serde_json::Value,
    max_attempts: Option<i32>,
    timeout_ms: Option<i64>,
    priority: i16,
}

impl TryFrom<Row> for OutboxJob {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let mut job = NewJob::new(JobKind::parse(row.kind)?, row.payload);
        job.idempotency_key = row.idempotency_key;
        job.max_attempts = row.max_attempts.and_then(|most| u16::try_from(most).ok());
        job.timeout = row
            .timeout_ms
            .map(|ms| Duration::from_millis(ms.unsigned_abs()));
        job.priority = row.priority;
        Ok(Self {
            tenant: row.tenant_id,
            job_id: row.id,
            job,
            principal: serde_json::from_value::<Principal>(row.principal).ok(),
            request: row.request_id,
            attempt: row.attempt,
        })
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_ten_minutes() {
        assert_eq!(back_off(1), Duration::from_secs(2));
        assert_eq!(back_off(4), Duration::from_secs(16));
        assert_eq!(back_off(i32::MAX), Duration::from_mins(10));
    }
}
