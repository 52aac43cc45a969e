use tenancy_core::WorkerDb;

use crate::Error;

/// How many keys go in one transaction.
const BATCH: i32 = 10_000;

/// The keys under which events were recorded once ([`Event::idempotency_key`](tenancy_core::Event)).
///
/// They are remembered for seven days, unless [`with_days`](Self::with_days) says otherwise, and until
/// somebody forgets them: call [`forget`](Self::forget) once a day, from a scheduled job. Where nobody does, a
/// [`Sealer`](crate::Sealer) that runs forgets them after 30 days. An event that is sent again after that is recorded
/// again.
///
/// ```no_run
/// # async fn run(worker: tenancy_core::WorkerDb) -> Result<(), tenancy_audit::Error> {
/// tenancy_audit::IdempotencyKeys::new(worker).forget().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct IdempotencyKeys {
    worker: WorkerDb,
    days: u16,
}

impl IdempotencyKeys {
    /// For how many days keys are remembered.
    pub const DAYS: u16 = 7;

    /// As background work, on a schedule.
    pub fn new(worker: WorkerDb) -> Self {
        Self {
            worker,
            days: Self::DAYS,
        }
    }

    /// Remembers keys for so many days; at least one.
    pub fn with_days(mut self, days: u16) -> Self {
        self.days = days.max(1);
        self
    }

    /// Forgets the keys of all tenants that are past their time, in batches of 10,000; how many it was. Any
    /// number of processes may do so at once.
    ///
    /// # Errors
    /// What the database answers. The batches before it are forgotten.
    pub async fn forget(&self) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            let some: i64 = sqlx::query_scalar(include_str!("sql/forget_keys.sql"))
                .bind(i32::from(self.days))
                .bind(BATCH)
                .fetch_one(self.worker.pool())
                .await?;
            all += some.unsigned_abs();
            if some < i64::from(BATCH) {
                return Ok(all);
            }
        }
    }
}
