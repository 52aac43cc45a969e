//! What the queue's worker runs.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Delivery, KIND, WebhookSender, Webhooks};
use crate::{
    Error, ErrorKind, JobHandler, JobKind, JobRun, Retry, TenantCtx, WebhookEndpoint,
    WebhookMessage,
};

/// How often a message is tried that the receiver refuses (a redirect, 400, 401, 404 and the like):
/// a deploy of his may answer so for a while, a wrong address does for ever.
const TRIES_OF_REFUSED: u16 = 5;

/// How often one is tried for an endpoint that this process does not know: while a new version is rolled
/// out, another process may.
const TRIES_OF_UNKNOWN: u16 = 20;

/// Sends the messages that a [`WebhookRelay`](super::WebhookRelay) enqueued.
///
/// A try ends by the answer, as [`WebhookSender::send`] has it; what is refused is tried 5 times, and
/// the rest as often as the relay says. After a 410 the endpoint is told nothing more until the
/// process starts anew: its jobs are parked, so that they can be tried again when it is back.
pub struct WebhookHandler {
    webhooks: Webhooks,
    sender: WebhookSender,
    /// One for each endpoint, in their order.
    gone: Vec<AtomicBool>,
}

impl WebhookHandler {
    pub(super) fn new(webhooks: Webhooks, sender: WebhookSender) -> Self {
        let gone = webhooks.0.endpoints.iter().map(|_| AtomicBool::new(false));
        Self {
            gone: gone.collect(),
            webhooks,
            sender,
        }
    }

    fn endpoint(&self, name: &str) -> Option<(&WebhookEndpoint, &AtomicBool)> {
        let mut known = self.webhooks.0.endpoints.iter().zip(&self.gone);
        known.find(|(endpoint, _)| endpoint.name() == name)
    }

    async fn send(&self, delivery: Delivery) -> Result<(), Error> {
        let Some((endpoint, gone)) = self.endpoint(&delivery.endpoint) else {
            // In a rolling deploy another process may know it.
            let message = format!("there is no webhook endpoint `{}` here", delivery.endpoint);
            let error = Error::new(ErrorKind::NotFound, "webhook_endpoint_unknown", message);
            return Err(error.with_retry(Retry::Backoff));
        };
        if gone.load(Ordering::Relaxed) {
            let message = "the webhook's receiver has said before that it wants no more messages";
            return Err(Error::new(ErrorKind::Denied, "webhook_gone", message));
        }
        let message = WebhookMessage::new(delivery.id, delivery.body)?;
        let sent = self
            .sender
            .send(endpoint.url(), endpoint.keys(), &message)
            .await;
        let result = sent.as_ref().map_or_else(Error::code, |()| "sent");
        metrics::counter!("tenancy_webhooks_total", "endpoint" => delivery.endpoint.clone(), "result" => result)
            .increment(1);
        if result == "webhook_gone" {
            gone.store(true, Ordering::Relaxed);
            tracing::warn!(
                endpoint = endpoint.name(),
                "a webhook's receiver wants no more messages"
            );
        }
        sent
    }
}

#[async_trait]
impl JobHandler for WebhookHandler {
    fn kind(&self) -> JobKind {
        KIND
    }

    async fn run(&self, _: &TenantCtx, run: &JobRun) -> Result<Value, Error> {
        let delivery = Delivery::deserialize(&run.payload).map_err(|error| {
            let message = "the job holds no webhook";
            Error::invalid("webhook_job_invalid", message).with_source(error)
        })?;
        let id = delivery.id.clone();
        match self.send(delivery).await {
            Ok(()) => Ok(json!({ "sent": id })),
            Err(error) => Err(within_tries(error, run.attempt)),
        }
    }
}

fn within_tries(error: Error, attempt: u16) -> Error {
    let most = match error.kind() {
        ErrorKind::Conflict => TRIES_OF_REFUSED,
        ErrorKind::NotFound => TRIES_OF_UNKNOWN,
        _ => return error,
    };
    if attempt >= most {
        return error.with_retry(Retry::Never);
    }
    error
}

impl fmt::Debug for WebhookHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookHandler")
            .field("webhooks", &self.webhooks)
            .finish_non_exhaustive()
    }
}
