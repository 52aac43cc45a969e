use async_trait::async_trait;

use crate::Error;

/// Fetches the public documents of an identity provider: its keys, and where they are.
///
/// # Contract
/// One `GET`, one answer: no redirects are followed, no cookies and no credentials are sent. Only
/// the body of a `200` is an answer. Address, size and time are bounded; plain HTTP is refused,
/// unless the implementation documents an exception for the machine itself.
///
/// # Concurrency
/// Any number of calls at once; the login that asks makes one at a time.
///
/// # Errors and retry
/// Whatever is no answer is [`Unavailable`](crate::ErrorKind::Unavailable).
///
/// # Cancellation
/// A dropped call has no effect.
///
/// # For implementors
/// What it returns is untrusted text: it is parsed strictly by whoever asked.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait JwksHttp: Send + Sync + 'static {
    /// The body of the document.
    async fn get(&self, url: &url::Url) -> Result<Vec<u8>, Error>;
}
