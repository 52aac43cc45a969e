//! Recording.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tenancy_core::{AuditSink, Event, TenantCtx, TenantTx};

use super::prepare::Rules;
use crate::{AuditStore, Error, Limits, Record, Redaction};

/// Checks, redacts, hashes and stores events. On Postgres it is called
/// [`PgAuditLog`](crate::PgAuditLog).
#[derive(Clone)]
pub struct AuditWriter {
    store: Arc<dyn AuditStore>,
    rules: Arc<Rules>,
}

impl AuditWriter {
    /// Writes to this store, with the default limits and rules of redaction.
    pub fn new(store: Arc<dyn AuditStore>) -> Self {
        Self {
            store,
            rules: Arc::default(),
        }
    }

    /// Replaces the limits.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        Arc::make_mut(&mut self.rules).limits = limits.bounded();
        self
    }

    /// Replaces the rules of redaction.
    pub fn with_redaction(mut self, redaction: Redaction) -> Self {
        Arc::make_mut(&mut self.rules).redaction = redaction;
        self
    }

    /// Records many events in the caller's transaction, with one statement.
    ///
    /// # Errors
    /// If one event is over a limit none is recorded, and the transaction stays usable. An error
    /// of the database leaves the transaction to be rolled back.
    pub async fn record_batch_in(
        &self,
        tx: &mut TenantTx,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        let ctx = tx.ctx().clone();
        let records = events
            .into_iter()
            .map(|event| self.rules.prepare(&ctx, event))
            .collect::<Result<Vec<_>, _>>()?;
        self.store.append_in(tx, &records).await
    }

    /// The record an event would become.
    pub(crate) fn prepare(&self, ctx: &TenantCtx, event: Event) -> Result<Record, Error> {
        self.rules.prepare(ctx, event)
    }

    pub(crate) fn store(&self) -> &Arc<dyn AuditStore> {
        &self.store
    }
}

#[async_trait]
impl AuditSink for AuditWriter {
    #[tracing::instrument(
        level = "debug", skip_all, fields(tenant = %ctx.tenant(), action = %event.action)
    )]
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), tenancy_core::Error> {
        let record = self.rules.prepare(ctx, event)?;
        Ok(self
            .store
            .append(ctx, std::slice::from_ref(&record))
            .await?)
    }

    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<(), tenancy_core::Error> {
        let record = self.rules.prepare(tx.ctx(), event)?;
        Ok(self
            .store
            .append_in(tx, std::slice::from_ref(&record))
            .await?)
    }
}

impl fmt::Debug for AuditWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditWriter")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
