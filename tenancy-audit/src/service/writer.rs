//! Recording.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tenancy_core::{AuditSink, Event, SubjectCipher, TenantCtx, TenantTx};

use super::{prepare::Rules, subjects};
use crate::{AuditStore, Error, Limits, Record, Redaction};

/// Checks, redacts, hashes and stores events. On Postgres it is called
/// [`PgAuditLog`](crate::PgAuditLog).
#[derive(Clone)]
pub struct AuditWriter {
    store: Arc<dyn AuditStore>,
    rules: Arc<Rules>,
    cipher: Option<Arc<dyn SubjectCipher>>,
}

impl AuditWriter {
    /// Writes to this store, with the default limits and rules of redaction.
    pub fn new(store: Arc<dyn AuditStore>) -> Self {
        Self {
            store,
            rules: Arc::default(),
            cipher: None,
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

    /// Seals personal details under the keys of the persons they are about, so that they can be erased
    /// wherever they were copied. An event says whom it is [about](Event::about); address and browser are
    /// the actor's. Each entry with personal details costs a call of the cipher.
    pub fn with_cipher(mut self, cipher: Arc<dyn SubjectCipher>) -> Self {
        self.cipher = Some(cipher);
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
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            records.push(self.prepare(&ctx, event).await?);
        }
        self.store.append_in(tx, &records).await
    }

    /// The record an event would become.
    pub(crate) async fn prepare(&self, ctx: &TenantCtx, event: Event) -> Result<Record, Error> {
        let about = event.subject.clone();
        let mut record = self.rules.prepare(ctx, event)?;
        if let Some(cipher) = &self.cipher {
            subjects::seal(&**cipher, ctx, about, &mut record).await?;
        }
        Ok(record)
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
        let record = self.prepare(ctx, event).await?;
        Ok(self
            .store
            .append(ctx, std::slice::from_ref(&record))
            .await?)
    }

    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<(), tenancy_core::Error> {
        let ctx = tx.ctx().clone();
        let record = self.prepare(&ctx, event).await?;
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
