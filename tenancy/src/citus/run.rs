//! Runs a plan.

use sqlx::AssertSqlSafe;
use tenancy_core::{Error, OperatorDb};

use super::Step;

/// What is moved in one transaction is moved by one connection to each node.
pub(super) const SEQUENTIAL: &str = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'";

/// All steps or none.
pub(super) async fn run(operator: &OperatorDb, steps: &[Step]) -> Result<(), Error> {
    let mut tx = operator.pool().begin().await?;
    sqlx::raw_sql(SEQUENTIAL).execute(&mut *tx).await?;
    for step in steps {
        // The database itself wrote it, with every name quoted.
        let sql = format!("SET LOCAL ROLE {}; {}", step.role, step.sql);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}
