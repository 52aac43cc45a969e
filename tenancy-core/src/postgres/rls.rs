//! Confines a host's own tables: `tenancy.protect_table` with a report.
//!
//! What SQL migrations do by `SELECT tenancy.protect_table('public.invoices')`, as a call that
//! waits for the table no longer than it is told to, and that says what else keeps the table from
//! being sound.
//!
//! ```no_run
//! # async fn run() -> Result<(), tenancy_core::Error> {
//! use tenancy_core::{OperatorDb, rls};
//!
//! let operator = OperatorDb::connect("postgres://operator@localhost/my_db").await?;
//! let report = rls::protect(&operator, &rls::Table::new("public.invoices")).await?;
//! for statement in &report.steps {
//!     println!("done: {statement}");
//! }
//! for advice in &report.advice {
//!     println!("{} {}: {}\n    {}", advice.severity, advice.rule, advice.detail, advice.fix);
//! }
//!
//! // Plans are read by all tenants' members and written by nobody.
//! let plans = rls::Table::new("billing.plans").with_tenant_column("org_id").with_privileges([rls::Privilege::Select]);
//! rls::protect(&operator, &plans).await?;
//! # Ok(()) }
//! ```

use std::time::Duration;

use sqlx::{PgConnection, postgres::PgDatabaseError};

use super::operator::OperatorDb;
use crate::{Error, ErrorKind, Retry};

/// What the app may do with a table, always within its tenant.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Privilege {
    /// Reading rows.
    Select,
    /// Adding rows.
    Insert,
    /// Changing rows.
    Update,
    /// Removing rows.
    Delete,
}

impl Privilege {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    /// As SQL names it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A table to be confined, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Table {
    /// Its name as SQL writes it, such as `public.invoices` or `"Odd Schema"."Order"`.
    pub name: String,
    /// The column that tells tenants apart; `tenant_id` by default.
    pub tenant_column: String,
    /// What the app may do; everything by default.
    pub privileges: Vec<Privilege>,
    /// How long to wait for the table at a time; 2 s by default. Whoever comes behind a statement
    /// that waits for a table waits as well, so that this is what readers may notice.
    pub lock_timeout: Duration,
    /// How often to try, with a pause in between; 10 by default, 1 at least.
    pub attempts: u32,
}

impl Table {
    /// A table with the defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tenant_column: "tenant_id".to_owned(),
            privileges: Privilege::ALL.to_vec(),
            lock_timeout: Duration::from_secs(2),
            attempts: 10,
        }
    }

    /// Names the column that tells tenants apart.
    pub fn with_tenant_column(mut self, name: impl Into<String>) -> Self {
        self.tenant_column = name.into();
        self
    }

    /// Names all that the app may do.
    pub fn with_privileges(mut self, privileges: impl IntoIterator<Item = Privilege>) -> Self {
        self.privileges = privileges.into_iter().collect();
        self
    }

    /// Bounds each wait for the table.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Bounds how often it is tried.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    fn words(&self) -> Vec<&'static str> {
        self.privileges.iter().map(|one| one.as_str()).collect()
    }
}

/// Something about a table that its protection does not mend.
#[derive(Clone, Debug, Eq, PartialEq, sqlx::FromRow)]
#[non_exhaustive]
pub struct Advice {
    /// The id of the doctor's rule that finds the same, such as `TEN303`.
    pub rule: String,
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// What is wrong.
    pub detail: String,
    /// SQL that mends it: to be read before it is run.
    pub fix: String,
}

/// What [`protect`] did, and what is left to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Protected {
    /// The statements that were run; empty if nothing was missing.
    pub steps: Vec<String>,
    /// What else stands against the table, the gravest first.
    pub advice: Vec<Advice>,
}

impl Protected {
    /// Whether no advice is an error: the table keeps tenants apart.
    pub fn is_sound(&self) -> bool {
        self.advice.iter().all(|advice| advice.severity != "error")
    }
}

/// Confines a table, and its partitions, to the tenant of the transaction. Does what is missing
/// and nothing twice.
///
/// # Errors
/// [`Misconfigured`](ErrorKind::Misconfigured) if there is no such table, it is a view, it lacks
/// the tenant column, or the operator does not own it; [`Unavailable`](ErrorKind::Unavailable),
/// code `table_busy`, if it was in use all the time.
pub async fn protect(operator: &OperatorDb, table: &Table) -> Result<Protected, Error> {
    let steps = patiently(operator, table, Work::Protect).await?;
    let mut conn = operator.pool().acquire().await?;
    let advice = advice_in(&mut conn, table).await?;
    Ok(Protected { steps, advice })
}

/// The same in the caller's transaction, such as a migration's. Waits for the table as long as the
/// transaction's `lock_timeout` says.
///
/// # Errors
/// As [`protect`].
pub async fn protect_in(conn: &mut PgConnection, table: &Table) -> Result<Protected, Error> {
    let steps = work(conn, table, Work::Protect)
        .await
        .map_err(|error| refused(error, table))?;
    let advice = advice_in(conn, table).await?;
    Ok(Protected { steps, advice })
}

/// Takes a table from the app: its policies and grants go, and row-level security stays on.
///
/// It opens nothing. Who means to open a table to all tenants says so in SQL: `ALTER TABLE …
/// DISABLE ROW LEVEL SECURITY`, and `GRANT`. Answers with the statements that were run.
///
/// # Errors
/// As [`protect`]; the tenant column may be missing.
pub async fn unprotect(operator: &OperatorDb, table: &Table) -> Result<Vec<String>, Error> {
    patiently(operator, table, Work::Unprotect).await
}

/// What stands against a table, without changing anything.
///
/// # Errors
/// As [`protect`]; the table may belong to anybody.
pub async fn advice(operator: &OperatorDb, table: &Table) -> Result<Vec<Advice>, Error> {
    let mut conn = operator.pool().acquire().await?;
    advice_in(&mut conn, table).await
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Protect,
    Unprotect,
}

async fn patiently(operator: &OperatorDb, table: &Table, what: Work) -> Result<Vec<String>, Error> {
    let mut attempt = 1;
    loop {
        match once(operator, table, what).await {
            Err(error) if is_busy(&error) && attempt < table.attempts => {
                tokio::time::sleep(Duration::from_millis(50) * attempt.min(20)).await;
                attempt += 1;
            }
            done => return done.map_err(|error| refused(error, table)),
        }
    }
}

async fn once(
    operator: &OperatorDb,
    table: &Table,
    what: Work,
) -> Result<Vec<String>, sqlx::Error> {
    let mut tx = operator.pool().begin().await?;
    let millis = table.lock_timeout.as_millis().clamp(1, i32::MAX as u128);
    sqlx::query("SELECT set_config('lock_timeout', $1, true)")
        .bind(millis.to_string())
        .execute(&mut *tx)
        .await?;
    let steps = work(&mut tx, table, what).await?;
    tx.commit().await?;
    Ok(steps)
}

async fn work(
    conn: &mut PgConnection,
    table: &Table,
    what: Work,
) -> Result<Vec<String>, sqlx::Error> {
    let query = match what {
        Work::Protect => sqlx::query_scalar(include_str!("sql/rls_protect.sql"))
            .bind(&table.name)
            .bind(table.words())
            .bind(&table.tenant_column),
        Work::Unprotect => {
            sqlx::query_scalar(include_str!("sql/rls_unprotect.sql")).bind(&table.name)
        }
    };
    query.fetch_one(conn).await
}

async fn advice_in(conn: &mut PgConnection, table: &Table) -> Result<Vec<Advice>, Error> {
    sqlx::query_as(include_str!("sql/rls_advice.sql"))
        .bind(&table.name)
        .bind(&table.tenant_column)
        .fetch_all(conn)
        .await
        .map_err(|error| refused(error, table))
}

/// Whether the table, or a row of the catalog, was in somebody's hands.
fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|db| {
        let code = db.code();
        matches!(code.as_deref(), Some("55P03" | "40P01"))
            || code.as_deref() == Some("XX000") && db.message().contains("concurrently")
    })
}

/// The functions' own refusals name a table and the way out, never a row: they are passed on.
fn refused(error: sqlx::Error, table: &Table) -> Error {
    if is_busy(&error) {
        let message = format!("table `{}` was in use all the time", table.name);
        return Error::new(ErrorKind::Unavailable, "table_busy", message)
            .with_retry(Retry::Backoff)
            .with_source(Error::from(error));
    }
    let fault = error
        .as_database_error()
        .and_then(|db| db.try_downcast_ref::<PgDatabaseError>());
    let (code, message) = match fault {
        Some(db) if matches!(db.code(), "42P01" | "3F000" | "42602") => (
            "table_unknown",
            format!("there is no table `{}`", table.name),
        ),
        Some(db) if matches!(db.code(), "42809" | "42501" | "42703" | "22023") => {
            let hint = db.hint().map(|hint| format!(": {hint}"));
            let message = format!("{}{}", db.message(), hint.unwrap_or_default());
            ("table_not_protectable", message)
        }
        _ => return Error::from(error),
    };
    Error::new(ErrorKind::Misconfigured, code, message)
}
