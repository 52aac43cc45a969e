//! What has to be swept now and then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::worker::WorkerDb;
use crate::Error;

/// For how long the platform log keeps an event, by default, at least and at most.
const KEEP: Duration = Duration::from_hours(90 * 24);
const LEAST_KEEP: Duration = Duration::from_hours(24);
const MOST_KEEP: Duration = Duration::from_hours(3_650 * 24);
/// Rows of one statement, and statements of one run.
const BATCH: i32 = 1_000;
const MOST_BATCHES: u32 = 100;
/// How long [`CoreMaintenance::run`] rests, and after an error.
const PAUSE: Duration = Duration::from_hours(1);
const PAUSE_AFTER_ERROR: Duration = Duration::from_mins(1);

/// Sweeps what the core's tables gather: old events of the platform log, slugs whose time is over.
///
/// A host runs one somewhere, as the worker; any number may run at once.
///
/// ```no_run
/// # async fn run(worker: tenancy_core::WorkerDb, stop: tokio_util::sync::CancellationToken) {
/// use std::time::Duration;
/// use tenancy_core::CoreMaintenance;
///
/// let maintenance = CoreMaintenance::new(worker)
///     .with_platform_log_kept(Duration::from_secs(30 * 86_400));
/// tokio::spawn(async move { maintenance.run(stop).await });
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CoreMaintenance {
    worker: WorkerDb,
    keep: Duration,
}

/// What one run of [`CoreMaintenance`] removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Maintained {
    /// Rows of the platform log.
    pub platform_events: u64,
    /// Former slugs that anybody may take.
    pub slugs: u64,
    /// Whether there is more than one run removes.
    pub more: bool,
}

impl CoreMaintenance {
    /// Sweeps this database.
    pub fn new(worker: WorkerDb) -> Self {
        Self { worker, keep: KEEP }
    }

    /// Sets for how long the platform log keeps an event: 90 days by default, a day at least, ten
    /// years at most.
    pub fn with_platform_log_kept(mut self, keep: Duration) -> Self {
        self.keep = keep.clamp(LEAST_KEEP, MOST_KEEP);
        self
    }

    /// Sweeps once: at most 100,000 rows of each table, a thousand a statement.
    ///
    /// # Errors
    /// Of the database; what was removed before it stays removed.
    pub async fn run_once(&self) -> Result<Maintained, Error> {
        let keep = i64::try_from(self.keep.as_secs()).unwrap_or(i64::MAX);
        let pool = self.worker.pool();
        let (platform_events, more_events) = batches(|| {
            sqlx::query_scalar(include_str!("sql/platform_log_prune.sql"))
                .bind(keep)
                .bind(BATCH)
                .fetch_one(pool)
        })
        .await?;
        let (slugs, more_slugs) = batches(|| {
            sqlx::query_scalar(include_str!("sql/slugs_free.sql"))
                .bind(BATCH)
                .fetch_one(pool)
        })
        .await?;
        Ok(Maintained {
            platform_events,
            slugs,
            more: more_events || more_slugs,
        })
    }

    /// Sweeps each hour until `stop`. Errors are logged and counted
    /// (`tenancy_maintenance_errors_total`), and it is tried again a minute later.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let rest = match self.run_once().await {
                Ok(done) if done.more => Duration::ZERO,
                Ok(_) => PAUSE,
                Err(error) => {
                    metrics::counter!("tenancy_maintenance_errors_total").increment(1);
                    tracing::error!(%error, code = error.code(), "maintenance failed");
                    PAUSE_AFTER_ERROR
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
}

/// Repeats it while it removes whole batches; how many rows in all, and whether more are left.
async fn batches<F>(remove: impl Fn() -> F) -> Result<(u64, bool), Error>
where
    F: Future<Output = sqlx::Result<i64>>,
{
    let mut removed = 0;
    for _ in 0..MOST_BATCHES {
        let gone = remove().await?;
        removed += gone.unsigned_abs();
        if gone < i64::from(BATCH) {
            return Ok((removed, false));
        }
    }
    Ok((removed, true))
}
