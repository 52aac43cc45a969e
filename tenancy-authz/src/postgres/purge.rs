use std::time::Duration;

use tenancy_core::WorkerDb;

use super::db;
use crate::Error;

/// Assignments deleted in one transaction.
const BATCH: i32 = 1_000;

/// Deletes assignments of roles that ended longer ago than `keep`, over all tenants; answers how
/// many. They gave nothing since they ended; until they are deleted, a review can tell that somebody
/// had the role. In batches, so that it may be cut off and run again.
///
/// # Errors
/// What the database failed with; what was deleted by then stays deleted.
pub async fn purge_ended_roles(worker: &WorkerDb, keep: Duration) -> Result<u64, Error> {
    let seconds = i64::try_from(keep.as_secs())
        .unwrap_or(i64::MAX)
        .min(10_000_000_000);
    let mut deleted = 0;
    loop {
        let some: i64 = sqlx::query_scalar(include_str!("sql/ended_roles_purge.sql"))
            .bind(seconds)
            .bind(BATCH)
            .fetch_one(worker.pool())
            .await
            .map_err(db)?;
        deleted += u64::try_from(some).unwrap_or_default();
        if some < i64::from(BATCH) {
            return Ok(deleted);
        }
    }
}
