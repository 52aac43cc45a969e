use std::fmt;

use async_trait::async_trait;

use crate::{Error, ErrorKind, Principal, TenantId, UserId};

/// Who is calling, as the host's login says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Identity {
    /// The person, or the key of a tenant.
    pub caller: CallerKind,
    /// The person's verified e-mail address, where the login knows one: invitations are bound to
    /// it.
    pub email: Option<String>,
    /// The tenant that the login itself names, by id or slug, such as a claim of a token. It is
    /// looked at only where the host says so, and proves nothing: the membership is checked.
    pub tenant: Option<String>,
}

/// The kinds of callers.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CallerKind {
    /// A person, in whatever tenants he is a member of.
    User(UserId),
    /// An API key. It belongs to one tenant and opens no other.
    ApiKey {
        /// The tenant whose key it is.
        tenant: TenantId,
        /// The key, with its permissions.
        principal: Principal,
    },
}

impl Identity {
    /// A person about whom nothing else is known.
    pub fn new(user: UserId) -> Self {
        Self {
            caller: CallerKind::User(user),
            email: None,
            tenant: None,
        }
    }

    /// An API key of a tenant.
    pub fn api_key(tenant: TenantId, principal: Principal) -> Self {
        Self {
            caller: CallerKind::ApiKey { tenant, principal },
            email: None,
            tenant: Some(tenant.to_string()),
        }
    }

    /// Adds the verified address.
    pub fn with_email(mut self, email: impl Into<String>) -> Self {
        self.email = Some(email.into());
        self
    }

    /// Adds the tenant that the login names.
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The person; `None` for a key.
    pub fn user(&self) -> Option<UserId> {
        match self.caller {
            CallerKind::User(user) => Some(user),
            CallerKind::ApiKey { .. } => None,
        }
    }

    /// The person, for what only people do: accepting an invitation, listing one's tenants.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) with the code `caller_not_a_user` for a key.
    pub fn require_user(&self) -> Result<UserId, Error> {
        let message = "only a user can do this, not an API key";
        self.user()
            .ok_or_else(|| Error::new(ErrorKind::Denied, "caller_not_a_user", message))
    }
}

/// What an authenticator may look at: method, path and headers, without the body.
///
/// Its `Debug` leaves the headers' values and the query out.
#[derive(Clone)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
}

impl RequestHead {
    /// The request's parts as an authenticator sees them.
    pub fn new(method: &str, path: &str, headers: Vec<(String, String)>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
        }
    }

    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The token of an `Authorization: Bearer …` header (RFC 6750).
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("path", &path)
            .field("headers", &names)
            .finish()
    }
}

/// Finds out who sent a request.
///
/// # Contract
/// `None` means that the request carries no login at all. A login that is not valid is an error
/// of kind [`Unauthenticated`](crate::ErrorKind::Unauthenticated), never `None`.
///
/// # Concurrency
/// Called for every request.
///
/// # Errors and retry
/// An identity provider that can't be reached is [`Unavailable`](crate::ErrorKind::Unavailable).
///
/// # Cancellation
/// A dropped call has no effect.
///
/// # For implementors
/// The token must not appear in the error. `tenancy_core::testing::conformance::authenticate` is
/// the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// Who sent the request.
    async fn authenticate(&self, request: &RequestHead) -> Result<Option<Identity>, Error>;
}
