use std::sync::Arc;

use async_trait::async_trait;
use tenancy_core::{AuditSink, Event, Kept, SubjectCipher, TenantCtx, TenantDb, TenantTx};

use super::store::PgAuditStore;
use crate::{AuditEntryId, AuditWriter, Error, Limits, Redaction};

/// The audit log on Postgres: what a host hands to everything that records.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::PgAuditLog;
/// # use tenancy_core::{AuditSink as _, Event, TenantCtx, TenantDb};
/// # async fn run(db: TenantDb, ctx: TenantCtx) -> Result<(), tenancy_core::Error> {
/// let audit = Arc::new(PgAuditLog::new(db.clone()));
///
/// let mut tx = db.write(&ctx).await?;
/// audit.record_in(&mut tx, Event::new("template.updated").target("template", 7)).await?;
/// tx.commit().await?; // the change and its entry, or neither
///
/// audit.record(&ctx, Event::new("report.viewed")).await?; // committed when this returns
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PgAuditLog(AuditWriter);

impl PgAuditLog {
    /// A log in this database, with the default limits and rules of redaction.
    pub fn new(db: TenantDb) -> Self {
        Self(AuditWriter::new(Arc::new(PgAuditStore::new(db))))
    }

    /// Replaces the limits.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self(self.0.with_limits(limits))
    }

    /// Replaces the rules of redaction.
    pub fn with_redaction(self, redaction: Redaction) -> Self {
        Self(self.0.with_redaction(redaction))
    }

    /// Seals personal details: see [`AuditWriter::with_cipher`].
    pub fn with_cipher(self, cipher: Arc<dyn SubjectCipher>) -> Self {
        Self(self.0.with_cipher(cipher))
    }

    /// Holds the events of some actions to a schema.
    #[cfg(feature = "schema")]
    pub fn with_schemas(self, schemas: crate::EventSchemas) -> Self {
        Self(self.0.with_schemas(schemas))
    }

    /// Records an event in a transaction of its own, and says under which id it stands.
    ///
    /// # Errors
    /// As [`AuditWriter::record_entry`].
    pub async fn record_entry(&self, ctx: &TenantCtx, event: Event) -> Result<AuditEntryId, Error> {
        self.0.record_entry(ctx, event).await
    }

    /// Records an event in the caller's transaction, and says under which id it stands.
    ///
    /// # Errors
    /// As [`AuditWriter::record_entry_in`].
    pub async fn record_entry_in(
        &self,
        tx: &mut TenantTx,
        event: Event,
    ) -> Result<AuditEntryId, Error> {
        self.0.record_entry_in(tx, event).await
    }

    /// Records many events in the caller's transaction, with one statement.
    ///
    /// # Errors
    /// As [`AuditWriter::record_batch_in`].
    pub async fn record_batch_in(
        &self,
        tx: &mut TenantTx,
        events: Vec<Event>,
    ) -> Result<Vec<AuditEntryId>, Error> {
        self.0.record_batch_in(tx, events).await
    }

    /// What checks, redacts and stores; a [`BufferedAudit`](crate::BufferedAudit) is put on it.
    pub fn writer(&self) -> &AuditWriter {
        &self.0
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl AuditSink for PgAuditLog {
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), tenancy_core::Error> {
        self.0.record(ctx, event).await
    }

    async fn record_in(
        &self,
        tx: &mut TenantTx,
        event: Event,
    ) -> Result<Kept, tenancy_core::Error> {
        self.0.record_in(tx, event).await
    }
}
