use std::fmt;

use async_trait::async_trait;
use url::Url;
use zeroize::Zeroizing;

use crate::Error;

/// A request to a provider.
#[non_exhaustive]
pub struct OAuthRequest {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Where to.
    pub url: Url,
    /// The hosts the provider may be asked at.
    pub allowed_hosts: Vec<String>,
    /// Headers. They may hold credentials.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// The body. It may hold credentials.
    pub body: Zeroizing<Vec<u8>>,
}

impl OAuthRequest {
    /// A request without headers and body.
    pub fn new(method: &'static str, url: Url, allowed_hosts: Vec<String>) -> Self {
        Self {
            method,
            url,
            allowed_hosts,
            headers: Vec::new(),
            body: Zeroizing::default(),
        }
    }

    /// Adds a header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers
            .push((name.into(), Zeroizing::new(value.into())));
        self
    }

    /// Sets the body.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Zeroizing::new(body.into());
        self
    }

    /// Whether the URL's host is one of those allowed, and its scheme is safe for it.
    pub fn is_allowed(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let known = self.allowed_hosts.iter().any(|allowed| allowed == host);
        known && (self.url.scheme() == "https" || crate::model::is_loopback(&self.url))
    }
}

impl fmt::Debug for OAuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "OAuthRequest({} {})",
            self.method,
            self.url.host_str().unwrap_or("?")
        )
    }
}

/// A provider's answer.
#[non_exhaustive]
pub struct OAuthResponse {
    /// The HTTP status.
    pub status: u16,
    /// What `Retry-After` says, in seconds.
    pub retry_after: Option<u64>,
    /// The body. It may hold credentials.
    pub body: Zeroizing<Vec<u8>>,
}

impl OAuthResponse {
    /// An answer.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            retry_after: None,
            body: Zeroizing::new(body.into()),
        }
    }
}

impl fmt::Debug for OAuthResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthResponse({})", self.status)
    }
}

/// Talks to providers.
///
/// # Contract
/// One request, one answer: no redirects are followed, no cookies are kept, nothing is tried again.
/// A request that is not [`allowed`](OAuthRequest::is_allowed) is not sent. The answer is bounded
/// in size and time. Nothing of headers and bodies is logged.
///
/// # Concurrency
/// Any number of calls at once.
///
/// # Errors and retry
/// Any status is an answer. Where there is none, the error is
/// [`Unavailable`](crate::ErrorKind::Unavailable) with the code [`NOT_SENT`] if the provider
/// can't have seen the request, and [`NO_ANSWER`] if it may have.
///
/// # Cancellation
/// A dropped call may or may not have been seen by the provider.
///
/// # For implementors
/// `tenancy_secrets::testing::conformance::oauth_http` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait OAuthHttp: Send + Sync + 'static {
    /// Sends a request and reads the whole answer.
    async fn send(&self, request: OAuthRequest) -> Result<OAuthResponse, Error>;
}

/// The code of an error after which the provider can't have seen the request.
pub const NOT_SENT: &str = "provider_not_reached";

/// The code of an error after which nobody knows whether the provider saw the request.
pub const NO_ANSWER: &str = "provider_no_answer";
