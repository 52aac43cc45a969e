use std::{fmt, time::Duration};

use async_trait::async_trait;
use url::Url;

use crate::Error;

/// Sends a message to a receiver outside.
///
/// # Contract
/// One `POST`, one answer: no redirects are followed, no cookies are kept, no proxy is asked. The
/// address is looked at when it is used: only addresses that the implementation's operator opened
/// are connected to, by default public ones by `https`, and the connection goes to the address that
/// was looked at. Time and what is read of the answer are bounded. Any status is an answer.
///
/// # Concurrency
/// Any number of calls at once.
///
/// # Errors and retry
/// No answer is [`Unavailable`](crate::ErrorKind::Unavailable): the receiver may have got the
/// message all the same. An address that is not open is
/// [`Misconfigured`](crate::ErrorKind::Misconfigured) `webhook_address_refused`, and nothing was
/// sent. Errors name neither the address nor what was sent.
///
/// # Cancellation
/// A dropped call was sent or not.
///
/// # For implementors
/// `Debug` of what is passed in shows no header and no body: keep it so.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait WebhookTransport: Send + Sync + 'static {
    /// Posts, and waits for the answer's head.
    async fn post(&self, post: WebhookPost) -> Result<WebhookAnswer, Error>;
}

/// One `POST`.
#[derive(Clone)]
#[non_exhaustive]
pub struct WebhookPost {
    /// Where to.
    pub url: Url,
    /// Headers beside `content-type` (JSON) and `user-agent`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl WebhookPost {
    /// A post to this address.
    pub fn new(url: Url, headers: Vec<(&'static str, String)>, body: String) -> Self {
        Self { url, headers, body }
    }
}

impl fmt::Debug for WebhookPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookPost")
            .field("host", &self.url.host_str())
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What is used of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct WebhookAnswer {
    /// The status.
    pub status: u16,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl WebhookAnswer {
    /// An answer of this status.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            retry_after: None,
        }
    }

    /// With the time that the receiver asks for.
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}
