//! The crate's error.

use std::{error::Error as StdError, fmt};

use tenancy_core::{Error as CoreError, ErrorKind as CoreKind, InvalidInput, Retry};

/// What went wrong with the queue, why, and whether trying again can help.
///
/// Converts into [`tenancy_core::Error`], the error of the ports that the family shares, without a
/// loss. The message may be shown to a user; it repeats no secret and no payload.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    inner: CoreError,
}

/// The classes of errors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The transaction may or may not have been committed.
    CommitOutcomeUnknown,
    /// The job is in a state in which that can't be done.
    Conflict,
    /// The permission is missing.
    Denied,
    /// A bug, or a row that can't be read.
    Internal,
    /// The input is wrong.
    InvalidInput,
    /// A limit is reached: the size of a payload, the length of a batch.
    Limit,
    /// A login, a role, the schema or a worker's set-up is not as it has to be.
    Misconfigured,
    /// The tenant is suspended, or nobody may enter it.
    NotAccessible,
    /// There is no such job in this tenant.
    NotFound,
    /// The database can't be reached or is overloaded.
    Unavailable,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            inner: CoreError::new(kind.in_core(), code, message),
        }
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, code, message)
    }

    pub(crate) fn limit(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, code, message)
    }

    pub(crate) fn unexpected_row(what: &str) -> Self {
        Self::new(
            ErrorKind::Internal,
            "unexpected_row",
            format!("a job has an unreadable {what}"),
        )
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, such as `job_payload_too_large`; all of them are listed in the guide.
    pub fn code(&self) -> &'static str {
        self.inner.code()
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.inner.retry()
    }
}

impl ErrorKind {
    fn in_core(self) -> CoreKind {
        match self {
            Self::CommitOutcomeUnknown => CoreKind::CommitOutcomeUnknown,
            Self::Conflict => CoreKind::Conflict,
            Self::Denied => CoreKind::Denied,
            Self::Internal => CoreKind::Internal,
            Self::InvalidInput => CoreKind::InvalidInput,
            Self::Limit => CoreKind::Limit,
            Self::Misconfigured => CoreKind::Misconfigured,
            Self::NotAccessible => CoreKind::Suspended,
            Self::NotFound => CoreKind::NotFound,
            Self::Unavailable => CoreKind::Unavailable,
        }
    }

    fn of_core(kind: CoreKind) -> Self {
        match kind {
            CoreKind::Unauthenticated | CoreKind::Denied => Self::Denied,
            CoreKind::NotAMember | CoreKind::Suspended => Self::NotAccessible,
            CoreKind::InvalidInput => Self::InvalidInput,
            CoreKind::Limit => Self::Limit,
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
        Self::from(CoreError::from(error))
    }
}
