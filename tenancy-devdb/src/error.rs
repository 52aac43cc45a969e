//! The one error of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;

/// What a host's own code may fail with inside a callback.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Why the development database, or Node, could not be had.
///
/// The text names what was tried and what to do; [`Error::kind`] is for code.
pub struct Error {
    kind: ErrorKind,
    message: String,
    attempts: Vec<Attempt>,
    source: Option<BoxError>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            attempts: Vec::new(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.attempts = attempts;
        self
    }

    /// An input or output error on `path` while doing `what`.
    pub(crate) fn io(what: &str, path: &Path, source: std::io::Error) -> Self {
        Self::new(
            ErrorKind::Io,
            format!("cannot {what} `{}`: {source}", path.display()),
        )
        .with_source(source)
    }

    pub(crate) fn sql(what: impl fmt::Display, source: sqlx::Error) -> Self {
        Self::new(ErrorKind::Sql, format!("cannot {what}: {source}")).with_source(source)
    }

    /// The sort of failure, for code that wants to react to it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// A stable text for logs and searches, `devdb.` followed by the kind.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Every way to provide a database that was tried, in order. Empty for other failures.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tests unwrap: what they print has to be readable.
        write!(f, "{} [{}]", self, self.code())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (n, attempt) in self.attempts.iter().enumerate() {
            let sep = if n == 0 { ": " } else { "; " };
            write!(f, "{sep}({}) {}: {}", n + 1, attempt.way, attempt.reason)?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn StdError + 'static))
    }
}

/// One way to provide a database, and why it was not taken.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// The way, with the variable or command that opens it.
    pub way: String,
    /// What stood against it.
    pub reason: String,
}

impl Attempt {
    pub(crate) fn new(way: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self {
            way: way.into(),
            reason: reason.to_string(),
        }
    }
}

/// The sorts of failure.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A variable or an argument has a value that means nothing.
    Config,
    /// A package could not be fetched, or is not the one that is pinned.
    Download,
    /// A file or directory could not be read or written.
    Io,
    /// The migration callback failed.
    Migrate,
    /// No way to provide a database worked; [`Error::attempts`] has each.
    NoDatabase,
    /// Node or npm failed.
    Node,
    /// The server must not be written to without leave.
    NotAllowed,
    /// The server did not start, or is gone.
    Server,
    /// A statement failed.
    Sql,
    /// This operating system or processor is not served.
    Unsupported,
}

impl ErrorKind {
    fn code(self) -> &'static str {
        match self {
            Self::Config => "devdb.config",
            Self::Download => "devdb.download",
            Self::Io => "devdb.io",
            Self::Migrate => "devdb.migrate",
            Self::NoDatabase => "devdb.no_database",
            Self::Node => "devdb.node",
            Self::NotAllowed => "devdb.not_allowed",
            Self::Server => "devdb.server",
            Self::Sql => "devdb.sql",
            Self::Unsupported => "devdb.unsupported",
        }
    }
}
