//! What the queue's worker runs.

use std::fmt;

use async_trait::async_trait;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Delivery, KIND, WebhookSender, Webhooks};
use crate::{
    Error, ErrorKind, JobHandler, JobKind, JobRun, Retry, TenantCtx, WebhookEndpoint,
    WebhookMessage, postgres::webhook_state,
};

/// How often a receiver may refuse a message (a redirect, 400, 401, 404 and the like): a deploy of his
/// may answer so for a while, a wrong address does for ever.
const MOST_REFUSALS: i32 = 5;

/// How often one is tried for an endpoint that this process does not know: while a new version is rolled
/// out, another process may.
const TRIES_OF_UNKNOWN: u16 = 20;

/// Sends the messages that a [`WebhookRelay`](super::WebhookRelay) enqueued.
///
/// A try ends by the answer, as [`WebhookSender::send`] has it; what is refused for the fifth time has
/// failed, whatever else came in between, and the rest is tried as often as the relay says. After a
/// 410 the endpoint is told nothing more, by any process, until [`Webhooks::reopen`]: its jobs are
/// parked, so that they can be tried again then.
pub struct WebhookHandler {
    webhooks: Webhooks,
    sender: WebhookSender,
}

impl WebhookHandler {
    pub(super) fn new(webhooks: Webhooks, sender: WebhookSender) -> Self {
        Self { webhooks, sender }
    }

    async fn send(&self, ctx: &TenantCtx, delivery: Delivery, attempt: u16) -> Result<(), Error> {
        // A job that another tenant has would be signed in the platform's name.
        let ours = (ctx.tenant() == self.webhooks.0.ours).then_some(&self.webhooks);
        let Some(endpoint) = ours.and_then(|webhooks| webhooks.endpoint(&delivery.endpoint)) else {
            return Err(unknown(&delivery.endpoint, attempt));
        };
        if self.is_gone(ctx, endpoint).await? {
            let message = "the webhook's receiver has said before that it wants no more messages";
            return Err(Error::new(ErrorKind::Denied, "webhook_gone", message));
        }
        let message = WebhookMessage::new(delivery.id, delivery.body)?;
        let sent = self
            .sender
            .send(endpoint.url(), endpoint.keys(), &message)
            .await;
        let result = sent.as_ref().map_or_else(Error::code, |()| "sent");
        metrics::counter!("tenancy_webhooks_total", "endpoint" => delivery.endpoint, "result" => result)
            .increment(1);
        match sent {
            Ok(()) if attempt == 1 => Ok(()),
            Ok(()) => {
                // The message is out, whatever becomes of the count.
                if let Err(error) = self.forget_refusals(ctx, endpoint, &message).await {
                    tracing::warn!(%error, code = error.code(), "old refusals are still counted");
                }
                Ok(())
            }
            Err(error) if error.code() == "webhook_gone" => {
                self.remember_gone(ctx, endpoint).await?;
                Err(error)
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.refused(ctx, endpoint, &message, error).await
            }
            Err(error) => Err(error),
        }
    }

    async fn is_gone(&self, ctx: &TenantCtx, endpoint: &WebhookEndpoint) -> Result<bool, Error> {
        let mut tx = self.webhooks.0.db.read(ctx).await?;
        webhook_state::is_gone(&mut tx, endpoint.name()).await
    }

    /// Where it can't be stored, the next try is answered in the same way and stores it.
    async fn remember_gone(
        &self,
        ctx: &TenantCtx,
        endpoint: &WebhookEndpoint,
    ) -> Result<(), Error> {
        tracing::warn!(
            endpoint = endpoint.name(),
            "a webhook's receiver wants no more messages"
        );
        let mut tx = self.webhooks.0.db.write(ctx).await?;
        webhook_state::put_gone(&mut tx, endpoint.name()).await?;
        tx.commit().await
    }

    /// The refusal itself, with no other try if it was one too many.
    async fn refused(
        &self,
        ctx: &TenantCtx,
        endpoint: &WebhookEndpoint,
        message: &WebhookMessage,
        refusal: Error,
    ) -> Result<(), Error> {
        let mut tx = self.webhooks.0.db.write(ctx).await?;
        let count = webhook_state::count_refusal(&mut tx, endpoint.name(), message.id()).await?;
        let is_last = count >= MOST_REFUSALS;
        if is_last {
            // Who has the queue try it again gives it as many.
            webhook_state::forget_refusals(&mut tx, endpoint.name(), message.id()).await?;
        }
        tx.commit().await?;
        Err(if is_last {
            refusal.with_retry(Retry::Never)
        } else {
            refusal
        })
    }

    async fn forget_refusals(
        &self,
        ctx: &TenantCtx,
        endpoint: &WebhookEndpoint,
        message: &WebhookMessage,
    ) -> Result<(), Error> {
        let mut tx = self.webhooks.0.db.write(ctx).await?;
        webhook_state::forget_refusals(&mut tx, endpoint.name(), message.id()).await?;
        tx.commit().await
    }
}

fn unknown(name: &str, attempt: u16) -> Error {
    let message = format!("there is no webhook endpoint `{name}` here");
    let error = Error::new(ErrorKind::NotFound, "webhook_endpoint_unknown", message);
    if attempt >= TRIES_OF_UNKNOWN {
        return error;
    }
    error.with_retry(Retry::Backoff)
}

#[async_trait]
impl JobHandler for WebhookHandler {
    fn kind(&self) -> JobKind {
        KIND
    }

    async fn run(&self, ctx: &TenantCtx, run: &JobRun) -> Result<Value, Error> {
        let delivery = Delivery::deserialize(&run.payload).map_err(|error| {
            let message = "the job holds no webhook";
            Error::invalid("webhook_job_invalid", message).with_source(error)
        })?;
        let id = delivery.id.clone();
        self.send(ctx, delivery, run.attempt).await?;
        Ok(json!({ "sent": id }))
    }
}

impl fmt::Debug for WebhookHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookHandler")
            .field("webhooks", &self.webhooks)
            .finish_non_exhaustive()
    }
}
