//! The crate's error.

use std::{error::Error as StdError, fmt};

use tenancy_core::{InvalidInput, Retry};

/// What went wrong, why, and whether trying again can help.
///
/// Neither the message nor the cause holds a secret, a token or the body of a provider's answer.
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
    /// Something is in the way: a name is taken, a value has moved on.
    Conflict,
    /// The permission is missing.
    Denied,
    /// The input is wrong.
    InvalidInput,
    /// A bug, here or in a port's implementation.
    Internal,
    /// A limit is reached.
    Limit,
    /// A key, a client or a provider is not set up as it has to be.
    Misconfigured,
    /// A person has to connect the account again.
    NeedsReauth,
    /// There is no such thing in this tenant.
    NotFound,
    /// The provider refused, or its answer makes no sense.
    ProviderRefused,
    /// A callback is forged, repeated, too late, or somebody else's.
    StateRefused,
    /// The core refused: no member, suspended, an unknown commit. The source says what.
    Tenancy,
    /// The database, the key store or the provider can't be reached or is overloaded.
    Unavailable,
    /// An envelope is damaged, of an unknown format, or belongs somewhere else.
    Unreadable,
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

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, such as `needs_reauth`: for programs, logs and translations.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    pub(crate) fn unreadable(code: &'static str, message: &str) -> Self {
        Self::new(ErrorKind::Unreadable, code, message)
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, code, message)
    }

    pub(crate) fn misconfigured(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Misconfigured, code, message)
    }

    pub(crate) fn not_found(code: &'static str, message: &str) -> Self {
        Self::new(ErrorKind::NotFound, code, message)
    }

    pub(crate) fn internal(code: &'static str, message: &str) -> Self {
        Self::new(ErrorKind::Internal, code, message)
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

impl From<tenancy_core::Error> for Error {
    fn from(error: tenancy_core::Error) -> Self {
        use tenancy_core::ErrorKind as Core;
        let kind = match error.kind() {
            Core::Denied => ErrorKind::Denied,
            Core::InvalidInput => ErrorKind::InvalidInput,
            Core::NotFound => ErrorKind::NotFound,
            Core::Conflict => ErrorKind::Conflict,
            Core::Limit => ErrorKind::Limit,
            Core::Misconfigured => ErrorKind::Misconfigured,
            Core::Unavailable => ErrorKind::Unavailable,
            Core::Internal => ErrorKind::Internal,
            _ => ErrorKind::Tenancy,
        };
        Self::new(kind, error.code(), error.to_string())
            .with_retry(error.retry())
            .with_source(error)
    }
}

impl From<Error> for tenancy_core::Error {
    /// For core's ports and its problem details. What came from the core goes back as it was.
    fn from(mut error: Error) -> Self {
        let source = match error.source.take() {
            None => None,
            Some(source) => match source.downcast::<Self>() {
                Ok(core) => return *core,
                Err(other) => Some(other),
            },
        };
        let core = Self::new(core_kind(error.kind), error.code, error.message);
        let core = core.with_retry(error.retry);
        match source {
            Some(source) => core.with_source(source),
            None => core,
        }
    }
}

fn core_kind(kind: ErrorKind) -> tenancy_core::ErrorKind {
    use tenancy_core::ErrorKind as Core;
    match kind {
        ErrorKind::Conflict | ErrorKind::NeedsReauth => Core::Conflict,
        ErrorKind::Denied => Core::Denied,
        ErrorKind::InvalidInput | ErrorKind::StateRefused => Core::InvalidInput,
        ErrorKind::Internal | ErrorKind::Tenancy | ErrorKind::Unreadable => Core::Internal,
        ErrorKind::Limit => Core::Limit,
        ErrorKind::Misconfigured => Core::Misconfigured,
        ErrorKind::NotFound => Core::NotFound,
        ErrorKind::ProviderRefused | ErrorKind::Unavailable => Core::Unavailable,
    }
}

impl From<sqlx::Error> for Error {
    /// Classifies a database error; the cause keeps SQLSTATE and constraint, never row contents.
    fn from(error: sqlx::Error) -> Self {
        tenancy_core::Error::from(error).into()
    }
}

impl From<InvalidInput> for Error {
    fn from(invalid: InvalidInput) -> Self {
        Self::invalid(invalid.code(), invalid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_core_survives_the_way_through_and_back() {
        let key = tenancy_core::PermissionKey::from_static("secrets.read");
        let error = Error::from(tenancy_core::Error::denied(&key));
        assert_eq!(error.kind(), ErrorKind::Denied);
        let core = tenancy_core::Error::from(error);
        assert_eq!(core.kind(), tenancy_core::ErrorKind::Denied);
        assert_eq!(core.code(), "permission_denied");
    }

    #[test]
    fn a_dead_grant_is_a_conflict_with_its_code_for_the_core() {
        let error = Error::new(ErrorKind::NeedsReauth, "needs_reauth", "connect again");
        let core = tenancy_core::Error::from(error);
        assert_eq!(core.kind(), tenancy_core::ErrorKind::Conflict);
        assert_eq!(core.code(), "needs_reauth");
    }
}
