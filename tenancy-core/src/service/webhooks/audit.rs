//! The audit sink that stores what receivers are told.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::Utc;

use super::{SERVICE, Webhooks};
use crate::{
    Actor, AuditSink, Error, Event, Kept, Outcome, TenantCtx, TenantTx, model::body_of,
    postgres::webhook_events,
};

/// An [`AuditSink`] in front of another one: what an endpoint of [`Webhooks`] wants to hear of is
/// stored with the entry, in the same transaction.
///
/// Only what was done is told, never what was refused or failed, and of its details what the sink behind
/// [kept](Kept): secrets that it hides are told to nobody, and what it has recorded under its key before
/// is not told again. Of a sink that keeps nothing, such as [`NoAudit`](crate::NoAudit), no details are
/// told. An entry that the sink behind would write in a transaction of its own is then written together
/// with its message.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Error, Event, TenantCtx, Webhooks};
/// # async fn run(webhooks: Webhooks, log: Arc<dyn AuditSink>, ctx: TenantCtx) -> Result<(), Error> {
/// let audit = webhooks.audit(log);
/// // A log that hides secrets stores `[redacted]` under `api_key`, and that is what receivers get.
/// let event = Event::new("tenant.linked").meta("api_key", "sk_live_…");
/// audit.record(&ctx, event.idempotency_key("link:7")).await?;
/// # Ok(()) }
/// ```
pub struct WebhookAudit {
    webhooks: Webhooks,
    inner: Arc<dyn AuditSink>,
}

impl WebhookAudit {
    pub(super) fn new(webhooks: Webhooks, inner: Arc<dyn AuditSink>) -> Self {
        Self { webhooks, inner }
    }

    /// The endpoints that are told of it. What becomes of a message is no news: it would be told in a
    /// message of its own, and so on.
    fn told(&self, ctx: &TenantCtx, event: &Event) -> Vec<String> {
        let ours = ctx.tenant() == self.webhooks.0.ours
            && matches!(&ctx.principal().actor, Actor::Service { key, .. } if *key == SERVICE);
        if ours || event.outcome != Outcome::Allowed {
            return Vec::new();
        }
        let wanting = self.webhooks.wanting(&event.action);
        wanting.map(|endpoint| endpoint.name().to_owned()).collect()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl AuditSink for WebhookAudit {
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), Error> {
        if self.told(ctx, &event).is_empty() {
            return self.inner.record(ctx, event).await;
        }
        let mut tx = self.webhooks.0.db.aside(ctx).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<Kept, Error> {
        let told = self.told(tx.ctx(), &event);
        if told.is_empty() {
            return self.inner.record_in(tx, event).await;
        }
        let (action, at) = (event.action.clone(), Utc::now());
        // The entry first: an event that the log refuses is told to nobody.
        let kept = self.inner.record_in(tx, event).await?;
        if kept == Kept::Before {
            return Ok(kept);
        }
        let body = body_of(tx.ctx(), &action, &kept, at);
        webhook_events::put(tx, told, body).await?;
        let webhooks = self.webhooks.clone();
        tx.after_commit(move || webhooks.0.stored.notify_one());
        Ok(kept)
    }
}

impl fmt::Debug for WebhookAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookAudit").finish_non_exhaustive()
    }
}
