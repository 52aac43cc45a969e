//! The crate's error, which is also the error of the ports that the family shares.

use std::{error::Error as StdError, fmt};

use crate::{InvalidInput, Retry};

/// What went wrong, why, and whether trying again can help.
///
/// The message may be shown to a user; it repeats no secret and no other tenant's data.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    retry: Retry,
    on_record: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The classes of errors; a host decides by them what to answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nobody is logged in, or the login is not valid.
    Unauthenticated,
    /// The user is no active member, or the tenant does not exist: the two are not told apart.
    NotAMember,
    /// The tenant is suspended or being deleted.
    Suspended,
    /// The permission is missing.
    Denied,
    /// The input is wrong.
    InvalidInput,
    /// There is no such thing in this tenant.
    NotFound,
    /// Something is in the way: a name is taken, a state has moved on.
    Conflict,
    /// A limit is reached.
    Limit,
    /// The transaction may or may not have been committed: look before trying again.
    CommitOutcomeUnknown,
    /// A login, a role or the schema is not as it has to be.
    Misconfigured,
    /// The database or another service can't be reached or is overloaded.
    Unavailable,
    /// A bug, here or in a port's implementation.
    Internal,
}

impl Error {
    /// Makes an error whose retry advice follows from its kind.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Unavailable => Retry::Backoff,
            _ => Retry::Never,
        };
        Self {
            kind,
            code,
            message: message.into(),
            retry,
            on_record: false,
            source: None,
        }
    }

    /// Replaces the retry advice.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Adds what caused it. The cause must not hold secrets: hosts log it.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says that this refusal is in the audit log already, so that a layer that records requests
    /// leaves it at that entry.
    pub fn on_record(mut self) -> Self {
        self.on_record = true;
        self
    }

    /// Bad input.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, code, message)
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, such as `slug_taken`: for programs, logs and translations.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// Whether this refusal, or the one that it tells of, is in the audit log already.
    pub fn is_on_record(&self) -> bool {
        let mut told = self.source();
        let mut found = self.on_record;
        while let (false, Some(cause)) = (found, told) {
            found = cause.downcast_ref::<Self>().is_some_and(|e| e.on_record);
            told = cause.source();
        }
        found
    }

    /// The permission is missing. The caller has recorded the denial.
    pub fn denied(permission: &crate::PermissionKey) -> Self {
        let message = format!("permission `{permission}` is missing");
        Self::new(ErrorKind::Denied, "permission_denied", message).on_record()
    }

    /// The answer to a denial that the caller has recorded. Who is no member is told what a stranger is
    /// told: neither whether the tenant exists nor what is asked for there.
    pub fn refused(permission: &crate::PermissionKey, reason: crate::DenyReason) -> Self {
        match reason {
            crate::DenyReason::NotAMember => Self::not_a_member().on_record(),
            _ => Self::denied(permission),
        }
    }

    /// There is no such tenant, or no membership in it: the two are not told apart.
    pub fn not_a_member() -> Self {
        Self::new(
            ErrorKind::NotAMember,
            "not_a_member",
            "no such tenant, or no membership in it",
        )
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
