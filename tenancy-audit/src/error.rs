//! The crate's error.

pub(crate) mod code;

use std::{error::Error as StdError, fmt};

use tenancy_core::{Error as CoreError, ErrorKind as CoreKind, InvalidInput, Retry};

use crate::AuditEntryId;

/// What went wrong with the audit log, why, and whether trying again can help.
///
/// Converts into [`tenancy_core::Error`], the error of the ports that the family shares: code, message, cause and
/// retry advice stay, [`entries`](Self::entries) goes, and of the kinds [`ClockSkew`](ErrorKind::ClockSkew) becomes
/// `Misconfigured`, [`Closed`](ErrorKind::Closed) `Unavailable` and [`Cursor`](ErrorKind::Cursor) `InvalidInput`.
/// The message may be shown to a user; it repeats no secret.
///
/// Who implements a port of this crate makes one by [`new`](Self::new), or converts one of core's.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    inner: CoreError,
    about: Vec<AuditEntryId>,
}

/// The classes of errors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The clock of this machine and the database's are more than a day apart.
    ClockSkew,
    /// The buffer was shut down.
    Closed,
    /// The transaction may or may not have been committed.
    CommitOutcomeUnknown,
    /// Something is in the way: an entry that is there already, a key that was used, a legal hold, a state that has
    /// moved on.
    Conflict,
    /// The cursor is damaged, of another version, or belongs to another query or tenant.
    Cursor,
    /// The permission is missing.
    Denied,
    /// A bug, or a row that can't be read.
    Internal,
    /// The event or the query is wrong, or over a limit.
    InvalidInput,
    /// A login, a role or the schema is not as it has to be.
    Misconfigured,
    /// There is no such entry in this tenant, or no such seal, month or stream.
    NotFound,
    /// The tenant is suspended or nobody may enter it.
    NotAccessible,
    /// The database, or something else that is needed, can't answer now: it can't be reached, is overloaded, or is held
    /// by somebody else. Also an anchor, a target of a stream, a file, and the system's randomness.
    Unavailable,
}

impl Error {
    /// What a port's implementor answers. The code is the implementor's own. The retry advice follows from the kind,
    /// [`Backoff`](Retry::Backoff) of [`Unavailable`](ErrorKind::Unavailable) and [`Never`](Retry::Never) of any
    /// other, unless it is set.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tenancy_audit::{Error, ErrorKind};
    /// use tenancy_core::Retry;
    ///
    /// let full = Error::new(ErrorKind::Conflict, "siem_full", "the receiver's disk is full");
    /// assert_eq!(full.retry(), Retry::Never);
    ///
    /// let paused = Error::new(ErrorKind::Unavailable, "siem_paused", "the receiver asks for a pause");
    /// let paused = paused.with_retry(Retry::After(Duration::from_secs(7)));
    /// assert_eq!(paused.retry(), Retry::After(Duration::from_secs(7)));
    /// assert_eq!(tenancy_core::Error::from(paused).code(), "siem_paused");
    /// ```
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        let inner = CoreError::new(kind.in_core(), code, message);
        Self {
            kind,
            inner: match advice(kind, code) {
                Some(retry) => inner.with_retry(retry),
                None => inner,
            },
            about: Vec::new(),
        }
    }

    /// Replaces the retry advice.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.inner = self.inner.with_retry(retry);
        self
    }

    /// Says which entries of a batch are in the way: see [`entries`](Self::entries).
    pub fn with_entries(mut self, entries: Vec<AuditEntryId>) -> Self {
        self.about = entries;
        self
    }

    /// The log came into another cluster, where its transactions' numbers mean nothing.
    pub(crate) fn log_restored() -> Self {
        Self::new(
            ErrorKind::Misconfigured,
            "audit_log_restored",
            "the log was restored into another cluster than the one whose transactions were counted: \
             have it adopted first (`tenancy audit adopt`)",
        )
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, code, message)
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, such as `audit_meta_too_large`. Those of this crate are listed in the guide (`docs/audit.md`);
    /// the database's are core's, and what a host implements has its own.
    pub fn code(&self) -> &'static str {
        self.inner.code()
    }

    /// Which entries of a batch it is about, where only some of them are in the way: of `audit_key_busy` those
    /// whose keys are in use.
    pub fn entries(&self) -> &[AuditEntryId] {
        &self.about
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.inner.retry()
    }
}

/// The retry advice, where that of core's kind is wrong.
fn advice(kind: ErrorKind, code: &str) -> Option<Retry> {
    match (kind, code) {
        // What was shut down does not open again.
        (ErrorKind::Closed, _) => Some(Retry::Never),
        // Somebody was faster, and the next call begins with how things are then.
        (_, code::DETAILS_MOVED | code::SEAL_MOVED) => Some(Retry::Backoff),
        _ => None,
    }
}

impl ErrorKind {
    fn in_core(self) -> CoreKind {
        match self {
            Self::ClockSkew | Self::Misconfigured => CoreKind::Misconfigured,
            Self::Closed | Self::Unavailable => CoreKind::Unavailable,
            Self::CommitOutcomeUnknown => CoreKind::CommitOutcomeUnknown,
            Self::Conflict => CoreKind::Conflict,
            Self::Cursor | Self::InvalidInput => CoreKind::InvalidInput,
            Self::Denied => CoreKind::Denied,
            Self::Internal => CoreKind::Internal,
            Self::NotFound => CoreKind::NotFound,
            Self::NotAccessible => CoreKind::Suspended,
        }
    }

    fn of_core(kind: CoreKind) -> Self {
        match kind {
            CoreKind::Unauthenticated | CoreKind::Denied => Self::Denied,
            CoreKind::NotAMember | CoreKind::Suspended => Self::NotAccessible,
            CoreKind::InvalidInput | CoreKind::Limit => Self::InvalidInput,
            CoreKind::NotFound => Self::NotFound,
            CoreKind::Conflict => Self::Conflict,
            CoreKind::CommitOutcomeUnknown => Self::CommitOutcomeUnknown,
            CoreKind::Misconfigured => Self::Misconfigured,
            CoreKind::Unavailable => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source()
    }
}

impl From<CoreError> for Error {
    fn from(inner: CoreError) -> Self {
        Self {
            kind: ErrorKind::of_core(inner.kind()),
            inner,
            about: Vec::new(),
        }
    }
}

impl From<Error> for CoreError {
    fn from(error: Error) -> Self {
        error.inner
    }
}

impl From<InvalidInput> for Error {
    fn from(invalid: InvalidInput) -> Self {
        Self::from(CoreError::from(invalid))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let database = error.as_database_error();
        // Raised by `tenancy.audit_snapshot`.
        if database
            .and_then(sqlx::error::DatabaseError::code)
            .as_deref()
            == Some("TA001")
        {
            return Self::log_restored();
        }
        let constraint = database.and_then(|db| db.constraint());
        if constraint == Some("audit_logs_id_time") {
            return Self::new(
                ErrorKind::ClockSkew,
                "audit_clock_skew",
                "the clock of this machine is more than a day off the database's",
            );
        }
        Self::from(CoreError::from(error))
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Error {
    fn into_response(self) -> axum::response::Response {
        self.inner.into_response()
    }
}

#[cfg(test)]
mod tests;
