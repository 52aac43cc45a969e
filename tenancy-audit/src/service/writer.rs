//! Recording.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tenancy_core::{AuditSink, Event, Kept, SubjectCipher, TenantCtx, TenantTx};

use super::{prepare::Rules, subjects};
use crate::{AuditEntryId, AuditStore, Draft, Error, ErrorKind, Limits, Redaction};

/// Checks, redacts, hashes and stores events. On Postgres it is called
/// [`PgAuditLog`](crate::PgAuditLog).
///
/// ```
/// # #[cfg(feature = "testing")]
/// # async fn run(ctx: tenancy_core::TenantCtx) -> Result<(), tenancy_core::Error> {
/// use std::sync::Arc;
///
/// use tenancy_audit::{AuditWriter, testing::MemoryAuditStore};
/// use tenancy_core::{AuditSink as _, Event};
///
/// let store = MemoryAuditStore::new();
/// let audit = AuditWriter::new(Arc::new(store.clone()));
/// audit.record(&ctx, Event::new("login.failed").meta("password", "hunter2")).await?;
/// assert_eq!(store.entries()[0].meta["password"], "[redacted]");
/// # Ok(()) }
/// # #[cfg(feature = "testing")]
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// #     use tenancy_core::{Principal, TenantId, UserId, testing::imagined};
/// #     run(imagined(TenantId::new(), Principal::user(UserId::new()))).await.unwrap();
/// # });
/// ```
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

    /// Holds the events of some actions to a schema.
    #[cfg(feature = "schema")]
    pub fn with_schemas(mut self, schemas: crate::EventSchemas) -> Self {
        Arc::make_mut(&mut self.rules).schemas = schemas;
        self
    }

    /// Seals personal details under the keys of the persons they are about, so that they can be erased
    /// wherever they were copied. An event says whom it is [about](Event::about); address and browser are
    /// the actor's. Each entry with personal details costs a call of the cipher.
    pub fn with_cipher(mut self, cipher: Arc<dyn SubjectCipher>) -> Self {
        self.cipher = Some(cipher);
        self
    }

    /// Records an event as [`record`](AuditSink::record) does, and says under which id it stands: an earlier
    /// entry's, where its [key](Event::idempotency_key) was used for the same before.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_key_reused` if the key was used for something else.
    pub async fn record_entry(&self, ctx: &TenantCtx, event: Event) -> Result<AuditEntryId, Error> {
        let draft = self.prepare(ctx, event).await?;
        first(self.store.append(ctx, std::slice::from_ref(&draft)).await?)
    }

    /// Records an event as [`record_in`](AuditSink::record_in) does, and says under which id it stands.
    ///
    /// # Errors
    /// As [`record_entry`](Self::record_entry); the transaction stays usable.
    pub async fn record_entry_in(
        &self,
        tx: &mut TenantTx,
        event: Event,
    ) -> Result<AuditEntryId, Error> {
        Ok(self.stored_in(tx, event).await?.0)
    }

    /// Under which id the event stands, and the draft that it was.
    async fn stored_in(
        &self,
        tx: &mut TenantTx,
        event: Event,
    ) -> Result<(AuditEntryId, Draft), Error> {
        let ctx = tx.ctx().clone();
        let draft = self.prepare(&ctx, event).await?;
        let drafts = std::slice::from_ref(&draft);
        Ok((first(self.store.append_in(tx, drafts).await?)?, draft))
    }

    /// Records many events in the caller's transaction, with one statement. Answers under which id each of
    /// them stands.
    ///
    /// # Errors
    /// If one event is over a limit, or its key was used for something else, none is recorded, and the
    /// transaction stays usable. An error of the database leaves the transaction to be rolled back.
    pub async fn record_batch_in(
        &self,
        tx: &mut TenantTx,
        events: Vec<Event>,
    ) -> Result<Vec<AuditEntryId>, Error> {
        let ctx = tx.ctx().clone();
        let mut drafts = Vec::with_capacity(events.len());
        for event in events {
            drafts.push(self.prepare(&ctx, event).await?);
        }
        self.store.append_in(tx, &drafts).await
    }

    /// The record an event would become.
    pub(crate) async fn prepare(&self, ctx: &TenantCtx, event: Event) -> Result<Draft, Error> {
        let about = event.subject.clone();
        let mut draft = self.rules.prepare(ctx, event)?;
        if let Some(cipher) = &self.cipher {
            subjects::seal(&**cipher, ctx, about, &mut draft.record).await?;
        }
        Ok(draft)
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
        self.record_entry(ctx, event).await?;
        Ok(())
    }

    async fn record_in(
        &self,
        tx: &mut TenantTx,
        event: Event,
    ) -> Result<Kept, tenancy_core::Error> {
        let (id, Draft { record, .. }) = self.stored_in(tx, event).await?;
        // An earlier entry's id stands for one that says the same.
        if id != record.id {
            return Ok(Kept::Before);
        }
        let (targets, meta) = (record.targets, record.meta);
        Ok(Kept::New { targets, meta })
    }
}

/// The id of the one record that was stored.
fn first(ids: Vec<AuditEntryId>) -> Result<AuditEntryId, Error> {
    ids.into_iter().next().ok_or_else(|| {
        let message = "the store did not say under which id an entry stands";
        Error::new(ErrorKind::Internal, "audit_row_unreadable", message)
    })
}

impl fmt::Debug for AuditWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditWriter")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
