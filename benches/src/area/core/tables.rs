//! The doctor on a host with many tables.

use sqlx::AssertSqlSafe;
use tenancy_core::doctor;
use tenancy_testkit::Db;

use crate::{
    Result,
    report::{Better, Metric},
    sample::Sample,
};

const TABLES: usize = 200;
const ROUNDS: usize = 3;

/// Seconds for rules and attack.
pub(crate) async fn doctor(kit: &Db) -> Result<Metric> {
    let superuser = kit.superuser().await?;
    sqlx::raw_sql("CREATE SCHEMA host; GRANT USAGE ON SCHEMA host TO tenancy_app")
        .execute(&superuser)
        .await?;
    for table in 0..TABLES {
        let make = format!(
            "CREATE TABLE host.t{table} (tenant_id uuid NOT NULL, id uuid NOT NULL, name text NOT NULL,
                                         n int NOT NULL DEFAULT 0, PRIMARY KEY (tenant_id, id));
             SELECT tenancy.protect_table('host.t{table}')"
        );
        sqlx::raw_sql(AssertSqlSafe(make))
            .execute(&superuser)
            .await?;
    }
    let mut seconds = Sample::default();
    for _ in 0..ROUNDS {
        let options = doctor::Options::default().with_app(&kit.app);
        let report = doctor::run(&kit.operator, &options).await?;
        if report.tables < TABLES || report.matrix.is_none() {
            return Err(format!("the doctor saw {} tables only", report.tables).into());
        }
        seconds.push(report.elapsed.as_secs_f64());
    }
    let (name, better) = ("doctor on 200 tables", Better::Lower);
    Ok(Metric::alone(name, "s", &seconds, better, 10.0))
}
