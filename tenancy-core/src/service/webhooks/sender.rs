//! Signs, sends, and says what an answer means.

use std::{fmt, sync::Arc, time::Duration};

use chrono::Utc;
use url::Url;

use crate::{
    Error, ErrorKind, Retry, WebhookAnswer, WebhookKeys, WebhookMessage, WebhookPost,
    WebhookTransport,
};

/// The least time between two tries that a receiver is asked to bear.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// Signs a message, sends it once, and says by its error whether and when to try again.
///
/// For any job of the family or of a host that posts signed JSON somewhere.
///
/// ```no_run
/// # async fn run() -> Result<(), tenancy_core::Error> {
/// use std::sync::Arc;
/// use tenancy_core::{ReqwestWebhooks, WebhookKeys, WebhookMessage, WebhookSecret, WebhookSender};
///
/// let sender = WebhookSender::new(Arc::new(ReqwestWebhooks::new()?));
/// let keys = WebhookKeys::new(WebhookSecret::generate()?);
/// let url = "https://siem.example.com/in".parse().expect("a URL");
/// sender.send(&url, &keys, &WebhookMessage::new("batch_7", "[]")?).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct WebhookSender {
    transport: Arc<dyn WebhookTransport>,
}

impl WebhookSender {
    /// Sends by this transport.
    pub fn new(transport: Arc<dyn WebhookTransport>) -> Self {
        Self { transport }
    }

    /// Sends once. Any status of 200 to 299 is a success.
    ///
    /// # Errors
    /// | answer | kind and code | retry |
    /// |---|---|---|
    /// | 410 | [`Denied`](ErrorKind::Denied) `webhook_gone` | never: the receiver wants no more |
    /// | 408, 425, 429, 5xx | [`Unavailable`](ErrorKind::Unavailable) `webhook_busy` | after the time that a `Retry-After` of 429 or 503 asks for (a day at most), or with back-off |
    /// | any other | [`Conflict`](ErrorKind::Conflict) `webhook_refused` | with back-off; who counts tries should give up early |
    /// | none | as the transport says: `webhook_timeout`, `webhook_unreachable`, `webhook_address_refused` | |
    pub async fn send(
        &self,
        url: &Url,
        keys: &WebhookKeys,
        message: &WebhookMessage,
    ) -> Result<(), Error> {
        let signed = keys.sign(message, Utc::now());
        let post = WebhookPost::new(
            url.clone(),
            signed.headers().into(),
            message.body().to_owned(),
        );
        judge(&self.transport.post(post).await?)
    }
}

fn judge(answer: &WebhookAnswer) -> Result<(), Error> {
    let status = answer.status;
    match status {
        200..=299 => Ok(()),
        410 => Err(Error::new(
            ErrorKind::Denied,
            "webhook_gone",
            "the webhook's receiver wants no more messages (410)",
        )),
        408 | 425 | 429 | 500..=599 => {
            let asked = answer
                .retry_after
                .filter(|_| matches!(status, 429 | 503))
                .map(|wait| Retry::After(wait.max(LEAST_WAIT)));
            let message = format!("the webhook's receiver can't take a message now ({status})");
            let error = Error::new(ErrorKind::Unavailable, "webhook_busy", message);
            Err(error.with_retry(asked.unwrap_or(Retry::Backoff)))
        }
        _ => {
            let message = format!("the webhook's receiver refused a message ({status})");
            let error = Error::new(ErrorKind::Conflict, "webhook_refused", message);
            Err(error.with_retry(Retry::Backoff))
        }
    }
}

impl fmt::Debug for WebhookSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSender").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_and_when_to_try_again() {
        let minute = Duration::from_mins(1);
        let judged = |status, wait| {
            let answer = WebhookAnswer::new(status).with_retry_after(wait);
            judge(&answer).map_err(|error| (error.code(), error.retry()))
        };
        for status in [200, 202, 204, 299] {
            assert_eq!(judged(status, None), Ok(()), "{status}");
        }
        assert_eq!(judged(410, None), Err(("webhook_gone", Retry::Never)));
        for status in [429, 503] {
            let after = Err(("webhook_busy", Retry::After(minute)));
            assert_eq!(judged(status, Some(minute)), after, "{status}");
            let at_once = Err(("webhook_busy", Retry::After(LEAST_WAIT)));
            assert_eq!(judged(status, Some(Duration::ZERO)), at_once, "{status}");
            assert_eq!(judged(status, None), Err(("webhook_busy", Retry::Backoff)));
        }
        for status in [408, 425, 500, 502, 504, 599] {
            let busy = Err(("webhook_busy", Retry::Backoff));
            assert_eq!(judged(status, Some(minute)), busy, "{status}");
        }
        for status in [100, 199, 301, 302, 307, 400, 401, 404, 422, 999] {
            let refused = Err(("webhook_refused", Retry::Backoff));
            assert_eq!(judged(status, None), refused, "{status}");
        }
    }
}
