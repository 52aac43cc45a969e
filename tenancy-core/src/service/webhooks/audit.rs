//! The audit sink that stores what receivers are told.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::Utc;

use super::{SERVICE, Webhooks};
use crate::{
    Actor, AuditSink, Error, Event, Outcome, TenantCtx, TenantTx, model::body_of,
    postgres::webhook_events,
};

/// An [`AuditSink`] in front of another one: what an endpoint of [`Webhooks`] wants to hear of is
/// stored with the entry, in the same transaction.
///
/// Only what was done is told, never what was refused or failed. An entry that the sink behind would
/// write in a transaction of its own is then written together with its message.
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

    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<(), Error> {
        let told = self.told(tx.ctx(), &event);
        if told.is_empty() {
            return self.inner.record_in(tx, event).await;
        }
        let body = body_of(tx.ctx(), &event, Utc::now());
        // The entry first: an event that the log refuses is told to nobody.
        self.inner.record_in(tx, event).await?;
        webhook_events::put(tx, told, body).await?;
        let webhooks = self.webhooks.clone();
        tx.after_commit(move || webhooks.0.stored.notify_one());
        Ok(())
    }
}

impl fmt::Debug for WebhookAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookAudit").finish_non_exhaustive()
    }
}
