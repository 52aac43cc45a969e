//! The crate's error.

use std::{error::Error as StdError, fmt, time::Duration};

use tenancy_core::{ErrorKind as CoreKind, InvalidInput, Retry};

use crate::{CallFault, ConnectionKey, FaultKind};

/// What went wrong, why, and whether trying again can help.
///
/// The message may be shown to a user: it holds no secret and no other tenant's data.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    retry: Retry,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The classes of errors; a host decides by them what to answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The tool may not be called: not approved, changed since, removed, or its provider is closed.
    Blocked,
    /// The idempotency key belongs to a call with other parameters, or a state has moved on.
    Conflict,
    /// The permission is missing. The denial is on record.
    Denied,
    /// The server said no for good; a call with the same key gets the same answer.
    Failed,
    /// Another call with the same key is being made at this moment.
    InFlight,
    /// A bug, here or in a port's implementation.
    Internal,
    /// The input is wrong: a name, a key, parameters that break the tool's schema.
    InvalidInput,
    /// A limit is reached.
    Limit,
    /// A login, a role, the schema or the router is not as it has to be.
    Misconfigured,
    /// The credential is gone or no longer taken: somebody has to connect again.
    NeedsReauth,
    /// The connection was taken away.
    NotConnected,
    /// There is no such thing in this tenant.
    NotFound,
    /// The call may have been done and must not be done twice: somebody has to look.
    OutcomeUnknown,
    /// The tenant is suspended.
    Suspended,
    /// The database or another service of the host can't be reached or is overloaded.
    Unavailable,
    /// The MCP server can't be reached or failed; nothing was done, or repeating does no harm.
    Upstream,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::InFlight | ErrorKind::Unavailable | ErrorKind::Upstream => Retry::Backoff,
            _ => Retry::Never,
        };
        Self {
            kind,
            code,
            message: message.into(),
            retry,
            source: None,
        }
    }

    pub(crate) fn internal(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, code, message)
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, code, message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let message = format!("there is no {what} of this name");
        Self::new(ErrorKind::NotFound, "not_found", message)
    }

    pub(crate) fn suspended() -> Self {
        let message = "the tenant is suspended: nothing is called until it is resumed";
        Self::new(ErrorKind::Suspended, "tenant_suspended", message)
    }

    pub(crate) fn deadline(message: &str) -> Self {
        Self::new(ErrorKind::Upstream, "deadline_passed", message)
    }

    pub(crate) fn needs_reauth(connection: &ConnectionKey, reason: &str) -> Self {
        let message = format!("the connection `{connection}` has to be connected again: {reason}");
        Self::new(ErrorKind::NeedsReauth, "needs_reauth", message)
    }

    /// What a fault on the wire means to a caller, where trying again is possible.
    pub(crate) fn upstream(fault: &CallFault) -> Self {
        let kind = match fault.kind {
            FaultKind::Forbidden => ErrorKind::Misconfigured,
            FaultKind::Rejected => ErrorKind::Failed,
            FaultKind::Unauthorized => ErrorKind::NeedsReauth,
            _ => ErrorKind::Upstream,
        };
        let error = Self::new(kind, fault.kind.as_str(), fault.message.clone());
        match fault.retry_after {
            Some(after) if kind == ErrorKind::Upstream => error.with_retry_after(after),
            _ => error,
        }
    }

    pub(crate) fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry = Retry::After(after);
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, such as `tool_changed`: for programs, logs and translations.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether the same call can succeed later. Where it can, the same idempotency key is safe.
    pub fn retry(&self) -> Retry {
        self.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<InvalidInput> for Error {
    fn from(invalid: InvalidInput) -> Self {
        Self::invalid(invalid.code(), invalid.to_string())
    }
}

impl From<tenancy_core::Error> for Error {
    fn from(error: tenancy_core::Error) -> Self {
        let kind = match error.kind() {
            CoreKind::Denied | CoreKind::NotAMember | CoreKind::Unauthenticated => {
                ErrorKind::Denied
            }
            CoreKind::Suspended => ErrorKind::Suspended,
            CoreKind::InvalidInput => ErrorKind::InvalidInput,
            CoreKind::NotFound => ErrorKind::NotFound,
            CoreKind::Conflict => ErrorKind::Conflict,
            CoreKind::Limit => ErrorKind::Limit,
            CoreKind::Misconfigured => ErrorKind::Misconfigured,
            CoreKind::CommitOutcomeUnknown | CoreKind::Unavailable => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        Self {
            kind,
            code: error.code(),
            message: error.to_string(),
            retry: error.retry(),
            source: Some(Box::new(error)),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        tenancy_core::Error::from(error).into()
    }
}

impl From<Error> for tenancy_core::Error {
    /// For a job's handler, and for the answers of a web handler.
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Denied => CoreKind::Denied,
            ErrorKind::Suspended => CoreKind::Suspended,
            ErrorKind::InvalidInput => CoreKind::InvalidInput,
            ErrorKind::NotFound => CoreKind::NotFound,
            ErrorKind::Limit => CoreKind::Limit,
            ErrorKind::Misconfigured => CoreKind::Misconfigured,
            ErrorKind::Unavailable | ErrorKind::Upstream => CoreKind::Unavailable,
            ErrorKind::Internal => CoreKind::Internal,
            _ => CoreKind::Conflict,
        };
        let (code, retry) = (error.code, error.retry);
        Self::new(kind, code, error.to_string())
            .with_retry(retry)
            .with_source(error)
    }
}
