//! What has to be swept now and then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::worker::WorkerDb;
use crate::Error;

/// For how long the platform log keeps an event, by default, at least and at most.
const KEEP: Duration = Duration::from_hours(90 * 24);
const LEAST_KEEP: Duration = Duration::from_hours(24);
const MOST_KEEP: Duration = Duration::from_hours(3_650 * 24);
/// For how long it is known how often a receiver refused a message, if it is not sent again.
const KEEP_REFUSALS: Duration = Duration::from_hours(30 * 24);
/// Rows of one statement, and statements of one run.
const BATCH: i32 = 1_000;
const MOST_BATCHES: u32 = 100;
/// How long [`CoreMaintenance::run`] rests, and after an error.
const PAUSE: Duration = Duration::from_hours(1);
const PAUSE_AFTER_ERROR: Duration = Duration::from_mins(1);

/// Sweeps what the core's tables gather: old events of the platform log, slugs whose time is over,
/// refusals of webhooks that were given up.
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
    /// Refusals of webhooks that nobody counts on any more.
    pub webhook_refusals: u64,
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

    /// Sweeps once: at most 100,000 rows of each table, a thousand a statement. A sweep that fails keeps
    /// no other from its work.
    ///
    /// # Errors
    /// The first one of the database, after all sweeps; what was removed stays removed.
    pub async fn run_once(&self) -> Result<Maintained, Error> {
        let pool = self.worker.pool();
        let by_age = |sql: &'static str, keep: Duration| {
            let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
            batches(move || {
                sqlx::query_scalar(sql)
                    .bind(keep)
                    .bind(BATCH)
                    .fetch_one(pool)
            })
        };
        let events = by_age(include_str!("sql/platform_log_prune.sql"), self.keep).await;
        let slugs = batches(|| {
            sqlx::query_scalar(include_str!("sql/slugs_free.sql"))
                .bind(BATCH)
                .fetch_one(pool)
        })
        .await;
        let refusals = include_str!("sql/webhook_refusals_purge.sql");
        let refusals = by_age(refusals, KEEP_REFUSALS).await;
        let mut failed = None;
        let mut more = false;
        let mut count = |sweep: &'static str, swept: Result<(u64, bool), Error>| match swept {
            Ok((rows, is_more)) => {
                more |= is_more;
                rows
            }
            Err(error) => {
                tracing::warn!(sweep, %error, code = error.code(), "a sweep failed");
                failed.get_or_insert(error);
                0
            }
        };
        let mut done = Maintained {
            platform_events: count("platform_log", events),
            slugs: count("slugs", slugs),
            webhook_refusals: count("webhook_refusals", refusals),
            more: false,
        };
        done.more = more;
        failed.map_or(Ok(done), Err)
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
