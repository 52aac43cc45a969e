//! Turns sqlx's errors into ours, without what must not be shown.

use std::time::Duration;

use sqlx::postgres::PgDatabaseError;

use super::tls;
use crate::{Error, ErrorKind, Retry};

/// What is kept of a database error. Postgres' DETAIL and CONTEXT may hold whole rows, so they
/// are left out; sqlx's own `Debug` would print them.
#[derive(Debug, thiserror::Error)]
#[error("{message} (sqlstate {sqlstate})")]
struct DbFault {
    sqlstate: String,
    message: String,
    constraint: Option<String>,
}

/// Classes and codes of SQLSTATE after which the connection or the server is gone.
fn is_disconnect(sqlstate: &str) -> bool {
    sqlstate.starts_with("08") || matches!(sqlstate, "57P01" | "57P02" | "57P03")
}

/// Whether the connection died, so that nothing is known of what was sent last.
pub(crate) fn lost_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(db) => db.code().is_some_and(|code| is_disconnect(&code)),
        _ => false,
    }
}

impl From<sqlx::Error> for Error {
    /// Classifies a database error; the cause keeps SQLSTATE and constraint, never row contents.
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(db) => {
                let sqlstate = db.code().unwrap_or_default().into_owned();
                let raised_by = db.try_downcast_ref::<PgDatabaseError>();
                if raised_by.and_then(PgDatabaseError::routine) == Some(LOGIN_LIMIT_CHECK)
                    && sqlstate == "53300"
                {
                    return login_full();
                }
                let fault = DbFault {
                    message: db.message().to_owned(),
                    constraint: db.constraint().map(ToOwned::to_owned),
                    sqlstate,
                };
                from_fault(fault)
            }
            // The pool itself can't tell which; `Connections` can.
            sqlx::Error::PoolTimedOut => Self::new(
                ErrorKind::Unavailable,
                "connection_timeout",
                "no connection was to be had in time: all are in use, or the database does not answer",
            ),
            sqlx::Error::RowNotFound => {
                Self::new(ErrorKind::NotFound, "not_found", "there is no such row")
            }
            sqlx::Error::ColumnDecode { index, .. } => Self::new(
                ErrorKind::Internal,
                "unexpected_row",
                format!("column {index} of a row has an unexpected type"),
            ),
            sqlx::Error::Configuration(_) => Self::new(
                ErrorKind::Misconfigured,
                "database_settings",
                "the database connection's settings are not valid",
            ),
            // Certificates that don't fit; a connection that breaks is of another kind.
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
                tls::failed(io.to_string())
            }
            sqlx::Error::Io(io) => unreachable(&io),
            sqlx::Error::Tls(cause) => tls::failed(cause.to_string()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
                unreachable(&"the pool is closed or its connection broke")
            }
            // These may quote what they could not read, so they are named and not repeated.
            sqlx::Error::Protocol(_) => driver("the server's answer breaks the protocol"),
            sqlx::Error::Decode(_) => driver("a value of a row has an unexpected form"),
            sqlx::Error::Encode(_) => driver("a parameter can't be sent"),
            _ => driver("the driver refused the call"),
        }
    }
}

pub(crate) fn unreachable(cause: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "database_unavailable",
        "the database can't be reached",
    )
    .with_source(Cause(cause.to_string()))
}

/// The transaction is over; the whole of it may be tried again.
fn again(code: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, code, message).with_retry(Retry::Backoff)
}

fn driver(cause: &'static str) -> Error {
    Error::new(ErrorKind::Internal, "database_driver", cause)
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Cause(pub(crate) String);

pub(crate) const TOO_MANY: &str = "too_many_connections";
pub(crate) const LOGIN_FULL: &str = "login_connections_used";

/// Where the server looks at a role's CONNECTION LIMIT; its message is in the server's language, and
/// its SQLSTATE that of a server that is full.
const LOGIN_LIMIT_CHECK: &str = "InitializeSessionUserId";

/// All connections that the login may have are in use, by this pool or another.
pub(crate) fn login_full() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        LOGIN_FULL,
        "the database login has as many connections as its CONNECTION LIMIT allows",
    )
    .with_retry(Retry::After(Duration::from_secs(1)))
}

pub(crate) fn too_many() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        TOO_MANY,
        "the database has no connection to spare",
    )
    .with_retry(Retry::After(Duration::from_secs(1)))
}

/// What may succeed another time.
fn passing(sqlstate: &str) -> Option<Error> {
    Some(match sqlstate {
        "40001" => again("serialization", "two transactions were in each other's way"),
        "40P01" => again("deadlock", "two transactions waited for each other"),
        "57014" => again("statement_timeout", "a statement took too long"),
        "55P03" => again("lock_timeout", "a lock did not become free in time"),
        "25P03" => again("idle_timeout", "the transaction did nothing for too long"),
        "25P04" => again("transaction_timeout", "the transaction took too long"),
        "53300" | "53400" => too_many(),
        _ => return None,
    })
}

fn from_fault(fault: DbFault) -> Error {
    if let Some(error) = passing(&fault.sqlstate) {
        return error.with_source(fault);
    }
    let constraint = fault
        .constraint
        .clone()
        .unwrap_or_else(|| "unnamed".to_owned());
    let error = match fault.sqlstate.as_str() {
        // Raised by `tenancy.require_impersonation`.
        "TN001" => Error::not_a_member(),
        "25P02" => Error::new(
            ErrorKind::Conflict,
            "transaction_aborted",
            "a statement of this transaction has failed, so it can only be rolled back",
        ),
        state if is_disconnect(state) => Error::new(
            ErrorKind::Unavailable,
            "database_unavailable",
            "the database closed the connection",
        ),
        "23505" => Error::new(
            ErrorKind::Conflict,
            "already_exists",
            format!("something like it exists already (`{constraint}`)"),
        ),
        "23503" => Error::new(
            ErrorKind::NotFound,
            "reference_unknown",
            format!("it refers to something that does not exist in this tenant (`{constraint}`)"),
        ),
        "23514" | "23502" | "22001" | "22P02" | "22P05" | "22021" | "22003" => Error::new(
            ErrorKind::InvalidInput,
            "value_refused",
            format!("the database refused a value (`{constraint}`)"),
        ),
        "28P01" | "28000" => Error::new(
            ErrorKind::Misconfigured,
            "login_refused",
            "the database refuses this login or its password",
        ),
        "42501" => Error::new(
            ErrorKind::Misconfigured,
            "database_privilege",
            "the database role may not do that, or the row belongs to another tenant",
        ),
        "42P01" | "3F000" | "42883" => Error::new(
            ErrorKind::Misconfigured,
            "schema_missing",
            "a table or function is missing: run the migrations",
        ),
        _ => Error::new(
            ErrorKind::Internal,
            "database",
            "the database refused a statement",
        ),
    };
    error.with_source(fault)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_network_that_lets_nothing_out_is_a_database_that_is_away() {
        // EPERM, EACCES, ENETUNREACH, EHOSTUNREACH.
        for os in [1, 13, 101, 113] {
            let error = Error::from(sqlx::Error::Io(io::Error::from_raw_os_error(os)));
            let found = (error.kind(), error.code(), error.retry());
            let away = (
                ErrorKind::Unavailable,
                "database_unavailable",
                Retry::Backoff,
            );
            assert_eq!(found, away, "{os}");
        }
    }
}
