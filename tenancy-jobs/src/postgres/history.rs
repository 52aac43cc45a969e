//! The months of the history, which the operator makes and drops.

use tenancy_core::OperatorDb;

use super::count;
use crate::Error;

/// Keeps the partitions of ended jobs: one a month, by the database's clock.
///
/// Run both daily. A month without a partition is no failure: its rows go to the default
/// partition, and stay there.
///
/// ```no_run
/// # async fn run(operator: tenancy_core::OperatorDb) -> Result<(), tenancy_jobs::Error> {
/// use tenancy_jobs::JobHistory;
///
/// let history = JobHistory::new(operator);
/// history.ensure_months(3).await?;
/// history.drop_older_than(12).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct JobHistory {
    operator: OperatorDb,
}

impl JobHistory {
    /// Uses the operator's login: partitions belong to the owner of the tables.
    pub fn new(operator: OperatorDb) -> Self {
        Self { operator }
    }

    /// Makes the partitions of this month and of `ahead` more; how many were made.
    ///
    /// A month of which the default partition already holds rows is left out.
    pub async fn ensure_months(&self, ahead: u8) -> Result<u64, Error> {
        let mut tx = self.operator.owner().await?;
        let mut made = 0;
        for month in 0..=i32::from(ahead) {
            let new: bool = sqlx::query_scalar(include_str!("sql/history_add_month.sql"))
                .bind(month)
                .fetch_one(&mut *tx)
                .await?;
            made += u64::from(new);
        }
        tx.commit().await?;
        Ok(made)
    }

    /// Drops the partitions of months that lie more than `months` back; how many were dropped.
    pub async fn drop_older_than(&self, months: u16) -> Result<u64, Error> {
        let mut tx = self.operator.owner().await?;
        let dropped: i32 = sqlx::query_scalar(include_str!("sql/history_drop_before.sql"))
            .bind(i32::from(months))
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(count(dropped))
    }
}
