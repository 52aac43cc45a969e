//! Runs a plan.

use sqlx::AssertSqlSafe;
use tenancy_core::{Error, OperatorDb};

use super::Step;

/// The roles of the steps are not handed on to the nodes, where Citus keeps its metadata as a superuser; and
/// what is moved in one transaction is moved by one connection to each of them. Each is sent on its own,
/// as are the steps: Citus hands on the whole text in which a setting or a change of a table stands.
pub(super) const SETTINGS: [&str; 2] = [
    "SET LOCAL citus.propagate_set_commands = 'none'",
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
];

/// All steps or none.
pub(super) async fn run(operator: &OperatorDb, steps: &[Step]) -> Result<(), Error> {
    let mut tx = operator.pool().begin().await?;
    for setting in SETTINGS {
        sqlx::raw_sql(setting).execute(&mut *tx).await?;
    }
    let mut role = "";
    for step in steps {
        if step.role != role {
            role = &step.role;
            let sql = format!("SET LOCAL ROLE {role}");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        }
        // The database itself wrote it, with every name quoted.
        let sql = step.sql.clone();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}
