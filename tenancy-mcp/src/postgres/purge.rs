//! Forgetting old calls.

use std::time::Duration;

use tenancy_core::WorkerDb;

use crate::Error;

/// Deletes up to `limit` settled calls of all tenants that ended longer ago than `keep`.
pub(crate) async fn purge(db: &WorkerDb, keep: Duration, limit: u32) -> Result<u64, Error> {
    let deleted: i64 = sqlx::query_scalar(include_str!("sql/purge.sql"))
        .bind(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX))
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .fetch_one(db.pool())
        .await?;
    Ok(deleted.unsigned_abs())
}
