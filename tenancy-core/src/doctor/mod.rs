//! Examines a database, and attacks it, to prove that tenants are kept apart.
//!
//! Two things in one call. The *rules* read the catalog: each looks for one way in which a table,
//! a policy, a grant, a key, a view, a function or a role lets a tenant out of its bounds, and
//! answers with the object, the reason and the SQL that mends it. The *attack* makes two probe
//! tenants with a row in every tenant table, the host's own included, and then tries from the one
//! to see, write, change, take over and remove the rows of the other, as the role of the app. It
//! runs in a transaction that is always rolled back.
//!
//! ```no_run
//! # async fn run() -> Result<(), tenancy_core::Error> {
//! use tenancy_core::{OperatorDb, TenantDb, doctor};
//!
//! let operator = OperatorDb::connect("postgres://operator@localhost/my_db").await?;
//! let app = TenantDb::connect("postgres://my_app@localhost/my_db").await?;
//! let report = doctor::run(&operator, &doctor::Options::default().with_app(&app)).await?;
//! print!("{}", report.to_text(true));
//! std::process::exit(report.exit_code());
//! # }
//! ```
//!
//! What the rolled-back attack leaves behind: numbers drawn from sequences, and whatever a host's
//! own triggers do outside the database. It changes and removes nothing that was there before, and
//! takes no lock that a reader or an ordinary writer waits for. `docs/doctor.md` lists the rules.

mod attack;
mod options;
mod report;
mod rule;
mod rules;
mod scan;

use std::time::Instant;

use sqlx::PgConnection;

pub use options::Options;
pub use report::{Cell, Finding, Matrix, Operation, Report, TableCells, Verdict};
pub use rule::{Rule, Severity};
pub use rules::{find as rule, rules};

use crate::{Error, OperatorDb};

/// Runs every rule and the attack.
///
/// # Errors
/// [`Misconfigured`](crate::ErrorKind::Misconfigured) if the migrations have not run, or a rule
/// may not read the catalog; [`Unavailable`](crate::ErrorKind::Unavailable) if the database can't
/// be reached. An attack that can't be carried out is no error: the report's
/// [`matrix`](Report::matrix) says why, and its exit code is 2.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn run(operator: &OperatorDb, options: &Options) -> Result<Report, Error> {
    let started = Instant::now();
    let mut conn = operator.pool().acquire().await?;
    let scan = scan::run(&mut conn, options).await?;
    drop(conn);
    let mut report = Report::new(scan.server_version.clone(), scan.tables());
    report.add(scan.findings.iter().cloned());
    if let Some(app) = &options.app {
        report.add(scan::residue(app.without_tenant()).await?);
    }
    if options.attack {
        let matrix = attack::run(operator, &scan, options).await?;
        report.add(matrix.findings());
        report.matrix = Some(matrix);
    }
    report.accept(&options.accepted);
    report.elapsed = started.elapsed();
    Ok(report)
}

/// Runs the rules alone on a connection, and sees what its open transaction has changed: a
/// migration can be examined before it is committed.
///
/// Leaves the transaction and its settings as they were. The transaction must be one that sqlx
/// began.
///
/// # Errors
/// As [`run`].
pub async fn inspect(conn: &mut PgConnection, options: &Options) -> Result<Vec<Finding>, Error> {
    Ok(scan::run(conn, options).await?.findings)
}
