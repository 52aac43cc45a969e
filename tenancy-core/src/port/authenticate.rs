use async_trait::async_trait;

use crate::{Error, UserId};

/// Who is calling, as the host's login says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Identity {
    /// The person.
    pub user: UserId,
    /// His verified e-mail address, where the login knows one: invitations are bound to it.
    pub email: Option<String>,
}

impl Identity {
    /// A person about whom nothing else is known.
    pub fn new(user: UserId) -> Self {
        Self { user, email: None }
    }

    /// Adds the verified address.
    pub fn with_email(mut self, email: impl Into<String>) -> Self {
        self.email = Some(email.into());
        self
    }
}

/// What an authenticator may look at: method, path and headers, without the body.
#[derive(Clone, Debug)]
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
/// The token must not appear in the error.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// Who sent the request.
    async fn authenticate(&self, request: &RequestHead) -> Result<Option<Identity>, Error>;
}
