//! The crate's error.

use std::{error::Error as StdError, fmt};

use tenancy_core::Retry;

/// What went wrong with a role, a grant or a check, and whether trying again can help.
///
/// It turns into [`tenancy_core::Error`], whose code, message and retry advice it shares.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    inner: tenancy_core::Error,
}

/// The classes of errors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Anything that the core reports: the database, the context, the commit.
    Core(tenancy_core::ErrorKind),
    /// The permission to manage or see roles is missing. The denial is on record.
    Denied,
    /// The change would give or take more than the principal holds himself. The attempt is on
    /// record.
    Exceeds,
    /// The role grants the permission by a wildcard or a parent: taking its name away would change
    /// nothing.
    GrantedOtherwise,
    /// The input is wrong.
    InvalidInput,
    /// Nobody would be left to manage the roles of the tenant.
    LastAdministrator,
    /// A limit is reached.
    Limit,
    /// The user is no member of the tenant.
    MemberUnknown,
    /// The policy was changed since it was exported.
    PolicyChanged,
    /// Permissions or templates were not registered, or not as they have to be; or a table has a row that the
    /// schema does not take.
    Misconfigured,
    /// Nobody registered such a permission.
    PermissionUnknown,
    /// The role `owner` grants everything and stays with the owners of the tenant.
    RoleFixed,
    /// A role has this key, or had it once.
    RoleTaken,
    /// The tenant has no such role.
    RoleUnknown,
    /// The store of roles can't answer: nothing is allowed and nothing is denied.
    Unavailable,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            inner: tenancy_core::Error::new(core_kind(kind), code, message),
        }
    }

    /// Says that the refusal is in the audit log.
    pub(crate) fn on_record(mut self) -> Self {
        self.inner = self.inner.on_record();
        self
    }

    /// The answer of a gate whose store failed: retried, and never taken for a denial.
    pub(crate) fn unavailable(source: &Error) -> Self {
        let message = "whether the permission is held can't be found out now";
        let inner = tenancy_core::Error::new(
            tenancy_core::ErrorKind::Unavailable,
            "authorization_unavailable",
            message,
        )
        .with_source(source.to_string());
        Self {
            kind: ErrorKind::Unavailable,
            inner,
        }
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, such as `last_administrator`: for programs, logs and translations.
    pub fn code(&self) -> &'static str {
        self.inner.code()
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.inner.retry()
    }
}

fn core_kind(kind: ErrorKind) -> tenancy_core::ErrorKind {
    use tenancy_core::ErrorKind as Core;
    match kind {
        ErrorKind::Core(kind) => kind,
        ErrorKind::Denied | ErrorKind::Exceeds => Core::Denied,
        ErrorKind::InvalidInput => Core::InvalidInput,
        ErrorKind::GrantedOtherwise
        | ErrorKind::LastAdministrator
        | ErrorKind::PolicyChanged
        | ErrorKind::RoleFixed
        | ErrorKind::RoleTaken => Core::Conflict,
        ErrorKind::Limit => Core::Limit,
        ErrorKind::MemberUnknown | ErrorKind::PermissionUnknown | ErrorKind::RoleUnknown => {
            Core::NotFound
        }
        ErrorKind::Misconfigured => Core::Misconfigured,
        ErrorKind::Unavailable => Core::Unavailable,
    }
}

impl From<tenancy_core::Error> for Error {
    fn from(inner: tenancy_core::Error) -> Self {
        use tenancy_core::ErrorKind as Core;
        let kind = match inner.kind() {
            Core::Denied => ErrorKind::Denied,
            Core::InvalidInput => ErrorKind::InvalidInput,
            Core::Limit => ErrorKind::Limit,
            Core::Misconfigured => ErrorKind::Misconfigured,
            Core::Unavailable => ErrorKind::Unavailable,
            other => ErrorKind::Core(other),
        };
        Self { kind, inner }
    }
}

impl From<tenancy_core::InvalidInput> for Error {
    fn from(invalid: tenancy_core::InvalidInput) -> Self {
        tenancy_core::Error::from(invalid).into()
    }
}

impl From<Error> for tenancy_core::Error {
    fn from(error: Error) -> Self {
        error.inner
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

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Error {
    fn into_response(self) -> axum::response::Response {
        self.inner.into_response()
    }
}
