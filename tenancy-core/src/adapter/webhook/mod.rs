//! Webhooks by reqwest, to addresses that may be reached.

mod egress;

use std::{error::Error as _, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::{Client, Response, header::RETRY_AFTER, redirect::Policy, retry};

use self::egress::{CheckedDns, Refused, may_ask};
use crate::{Egress, Error, ErrorKind, WebhookAnswer, WebhookPost, WebhookTransport};

/// How long a receiver has for its answer, by default and at most.
const TIMEOUT: Duration = Duration::from_secs(15);
const MOST_TIMEOUT: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(5);
/// How much of an answer's body is read, and for how long, so that a connection can be used again.
const DRAINED: usize = 16 * 1_024;
const DRAINING: Duration = Duration::from_millis(500);
/// The longest wait that a receiver may ask for.
const MOST_WAIT: Duration = Duration::from_hours(24);

/// The [`WebhookTransport`] by reqwest with rustls: HTTPS to public addresses, no redirects, no
/// proxy, 15 s.
///
/// A name is resolved here, each of its addresses is looked at, and the connection goes to one of
/// those that [`Egress`] allows: a name that answers differently the next time gains nothing.
///
/// ```
/// use std::{net::{IpAddr, Ipv4Addr}, time::Duration};
/// use tenancy_core::ReqwestWebhooks;
///
/// let transport = ReqwestWebhooks::builder()
///     // A collector in our own network.
///     .allow_network(IpAddr::V4(Ipv4Addr::new(10, 20, 0, 0)), 16)
///     .timeout(Duration::from_secs(20))
///     .build()?;
/// # Ok::<(), tenancy_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReqwestWebhooks {
    client: Client,
    allowed: Arc<Egress>,
}

/// What a [`ReqwestWebhooks`] may reach.
#[derive(Clone, Debug)]
pub struct ReqwestWebhooksBuilder {
    allowed: Egress,
    timeout: Duration,
}

impl ReqwestWebhooks {
    /// Reaches public addresses only.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if the system has no usable TLS set-up.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Says what else may be reached.
    pub fn builder() -> ReqwestWebhooksBuilder {
        ReqwestWebhooksBuilder {
            allowed: Egress::default(),
            timeout: TIMEOUT,
        }
    }
}

impl ReqwestWebhooksBuilder {
    /// Opens this machine's loopback addresses, by plain HTTP too: for development and tests.
    pub fn allow_loopback(mut self) -> Self {
        self.allowed = self.allowed.allow_loopback();
        self
    }

    /// Opens a network of the operator's own, such as `10.20.0.0/16`, by HTTPS.
    pub fn allow_network(mut self, address: IpAddr, prefix: u8) -> Self {
        self.allowed = self.allowed.allow_network(address, prefix);
        self
    }

    /// Sets how long a receiver has for its answer, name and connection included: 15 s by default,
    /// a minute at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(Duration::from_millis(1), MOST_TIMEOUT);
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if the system has no usable TLS set-up.
    pub fn build(self) -> Result<ReqwestWebhooks, Error> {
        let allowed = Arc::new(self.allowed);
        let client = Client::builder()
            .redirect(Policy::none())
            .retry(retry::never())
            // A proxy would resolve names by itself, past what is looked at here.
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(CheckedDns(allowed.clone())))
            .timeout(self.timeout)
            .connect_timeout(CONNECT.min(self.timeout))
            .user_agent(concat!("tenancy-core/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| {
                let message = "the HTTP client could not be set up";
                Error::new(ErrorKind::Misconfigured, "tls_unavailable", message)
            })?;
        Ok(ReqwestWebhooks { client, allowed })
    }
}

#[async_trait]
impl WebhookTransport for ReqwestWebhooks {
    async fn post(&self, post: WebhookPost) -> Result<WebhookAnswer, Error> {
        if !may_ask(&self.allowed, &post.url) {
            return Err(refused());
        }
        let mut request = self
            .client
            .post(post.url)
            .header("content-type", "application/json")
            .body(post.body);
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| unsent(&error))?;
        let answer =
            WebhookAnswer::new(response.status().as_u16()).with_retry_after(retry_after(&response));
        // Whatever the rest is, the receiver has answered.
        let _ = tokio::time::timeout(DRAINING, drain(response)).await;
        Ok(answer)
    }
}

async fn drain(mut response: Response) -> Option<()> {
    let mut read = 0;
    while let Some(chunk) = response.chunk().await.ok()? {
        read += chunk.len();
        if read > DRAINED {
            break;
        }
    }
    Some(())
}

/// Seconds, or a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = DateTime::parse_from_rfc2822(text).ok()?;
        (at.to_utc() - Utc::now()).to_std().unwrap_or_default()
    };
    Some(wait.min(MOST_WAIT))
}

/// reqwest's own error names the address, which may hold a secret: its class is told, no more.
fn unsent(error: &reqwest::Error) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.downcast_ref::<Refused>().is_some() {
            return refused();
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        let message = "the webhook's receiver did not answer in time";
        return Error::new(ErrorKind::Unavailable, "webhook_timeout", message);
    }
    let message = "the webhook's receiver can't be reached";
    Error::new(ErrorKind::Unavailable, "webhook_unreachable", message)
}

fn refused() -> Error {
    let message = "the webhook's address is not one that may be reached: https to a public address";
    Error::new(ErrorKind::Misconfigured, "webhook_address_refused", message)
}
