//! The crate's error.

use std::{error::Error as StdError, fmt};

use tenancy_core::{InvalidInput, Retry};

/// What went wrong, why, and whether trying again can help.
///
/// The message may be shown to the caller; it repeats no document, no vector and no key.
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
    /// A permission, or a role of the document, is missing.
    Denied,
    /// The document, the query or an option is wrong.
    InvalidInput,
    /// There is no such thing that this caller may see.
    NotFound,
    /// Something is in the way: another upload of the document, a version that is gone.
    Conflict,
    /// The tenant's quota or a size limit is reached.
    Limit,
    /// The embedder's model is not the one that the tenant's vectors come from.
    ModelMismatch,
    /// An embedder answered with something that is no set of vectors.
    EmbeddingInvalid,
    /// The database, an embedder or an extractor can't be reached or is overloaded.
    Unavailable,
    /// An error of the core that has no class of its own here; see [`Error::core_kind`].
    Core(tenancy_core::ErrorKind),
    /// A bug, here or in a port's implementation.
    Internal,
}

impl Error {
    /// Makes an error whose retry advice follows from its kind: for implementors of the ports.
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

    /// Adds what caused it. The cause must hold no secrets and no text of documents: hosts log it.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, code, message)
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, such as `document_empty`: for programs, logs and translations.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// The class in the core's terms: what a port or an HTTP answer is made from.
    pub fn core_kind(&self) -> tenancy_core::ErrorKind {
        use tenancy_core::ErrorKind as Core;
        match self.kind {
            ErrorKind::Denied => Core::Denied,
            ErrorKind::InvalidInput => Core::InvalidInput,
            ErrorKind::NotFound => Core::NotFound,
            ErrorKind::Conflict | ErrorKind::ModelMismatch => Core::Conflict,
            ErrorKind::Limit => Core::Limit,
            ErrorKind::Unavailable => Core::Unavailable,
            ErrorKind::Core(kind) => kind,
            ErrorKind::EmbeddingInvalid | ErrorKind::Internal => Core::Internal,
        }
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
            Core::Unavailable => ErrorKind::Unavailable,
            Core::Internal => ErrorKind::Internal,
            other => ErrorKind::Core(other),
        };
        Self::new(kind, error.code(), error.to_string())
            .with_retry(error.retry())
            .with_source(error)
    }
}

impl From<Error> for tenancy_core::Error {
    fn from(error: Error) -> Self {
        Self::new(error.core_kind(), error.code, error.message.clone())
            .with_retry(error.retry)
            .with_source(error)
    }
}

impl From<sqlx::Error> for Error {
    /// Classified as the core does it; the cause keeps SQLSTATE and constraint, never row contents.
    fn from(error: sqlx::Error) -> Self {
        tenancy_core::Error::from(error).into()
    }
}

impl From<InvalidInput> for Error {
    fn from(invalid: InvalidInput) -> Self {
        Self::invalid(invalid.code(), invalid.to_string())
    }
}
