//! The same schema on several nodes: distributed by tenant with [Citus](https://www.citusdata.com).
//!
//! What goes where is read from the catalog, the host's protected tables included. See
//! `docs/scaling-out.md` for what holds there, and for what has not been tried.

mod read;
mod run;

use std::fmt;

use tenancy_core::{Error, ErrorKind, OperatorDb, doctor::Finding};

/// Rules of the doctor without which a table can't be distributed by tenant, or would lose its
/// protection there.
pub const RULES: [&str; 11] = [
    "TEN003", "TEN004", "TEN106", "TEN107", "TEN301", "TEN302", "TEN303", "TEN304", "TEN309",
    "TEN901", "TEN902",
];

/// What distributing a database takes, read from its catalog.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The statements, in their order.
    pub steps: Vec<Step>,
    /// What stands in the way: each has to be mended first.
    pub blocked: Vec<Blocked>,
}

/// One statement of a [`Plan`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// As which role it runs.
    pub role: String,
    /// The statement, without its semicolon.
    pub sql: String,
}

/// Something that can't be distributed as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Blocked {
    /// The rule of the doctor that it breaks, or `reference`.
    pub rule: String,
    /// What.
    pub object: String,
    /// Why.
    pub why: String,
}

impl From<&Finding> for Blocked {
    fn from(finding: &Finding) -> Self {
        Self {
            rule: finding.rule.to_owned(),
            object: finding.object.clone(),
            why: finding.detail.clone(),
        }
    }
}

/// Reads the plan, and changes nothing. Needs no Citus.
///
/// The plan leaves out what is distributed already, so that it can be read again after new tables
/// were made.
///
/// ```no_run
/// # async fn run(operator: tenancy::core::OperatorDb) -> Result<(), tenancy::core::Error> {
/// let plan = tenancy::citus::plan(&operator).await?;
/// for blocked in &plan.blocked {
///     eprintln!("{}: {}: {}", blocked.rule, blocked.object, blocked.why);
/// }
/// println!("{plan}");
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Misconfigured`](ErrorKind::Misconfigured) if the migrations have not run;
/// [`Unavailable`](ErrorKind::Unavailable) if the database can't be reached.
pub async fn plan(operator: &OperatorDb) -> Result<Plan, Error> {
    read::plan(operator).await
}

/// Distributes the database, in one transaction, and answers what was done.
///
/// For a database without rows, or with few: rows that are there are moved while the tables are
/// locked. Connections that were open before have to be opened anew.
///
/// # Errors
/// [`Misconfigured`](ErrorKind::Misconfigured) `citus_missing` where the extension is not
/// installed in this database; [`Conflict`](ErrorKind::Conflict) `not_shard_ready` if the plan
/// names what stands in the way.
pub async fn distribute(operator: &OperatorDb) -> Result<Plan, Error> {
    if !read::is_installed(operator).await? {
        let message = "this database has no Citus: CREATE EXTENSION citus on every node first";
        return Err(Error::new(
            ErrorKind::Misconfigured,
            "citus_missing",
            message,
        ));
    }
    let plan = plan(operator).await?;
    if let Some(first) = plan.blocked.first() {
        let message = format!(
            "{} things can't be distributed; the first is {} ({}): {}",
            plan.blocked.len(),
            first.object,
            first.rule,
            first.why
        );
        return Err(Error::new(ErrorKind::Conflict, "not_shard_ready", message));
    }
    run::run(operator, &plan.steps).await?;
    Ok(plan)
}

/// As a script for psql, in one transaction.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut role = "";
        writeln!(f, "BEGIN;\n{};", run::SETTINGS.join(";\n"))?;
        for step in &self.steps {
            if step.role != role {
                role = &step.role;
                writeln!(f, "SET LOCAL ROLE {role};")?;
            }
            writeln!(f, "{};", step.sql)?;
        }
        f.write_str("COMMIT;\n")
    }
}
