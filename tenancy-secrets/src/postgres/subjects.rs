//! Keys of subjects.

use std::sync::Arc;

use serde_json::Value;
use sqlx::error::DatabaseError;
use tenancy_core::{AuditSink, Event, Isolation, TenantCtx, TenantDb, TxOptions};

use super::rows;
use crate::{Envelope, Error, ErrorKind, KeyId, Written, model::SubjectHash};

#[derive(Clone)]
pub(crate) struct PgSubjects {
    db: TenantDb,
    audit: Arc<dyn AuditSink>,
}

/// A subject's row.
pub(crate) struct SubjectKey {
    pub(crate) id: KeyId,
    /// `None` once it was erased.
    pub(crate) envelope: Option<Envelope>,
}

impl PgSubjects {
    pub(crate) fn new(db: TenantDb, audit: Arc<dyn AuditSink>) -> Self {
        Self { db, audit }
    }

    pub(crate) async fn find(
        &self,
        ctx: &TenantCtx,
        subject: SubjectHash,
    ) -> Result<Option<SubjectKey>, Error> {
        // The caller may hold a transaction: an entry that is sealed belongs to it.
        let mut tx = self.db.aside(ctx).await?;
        let row: Option<(KeyId, Option<Value>)> =
            sqlx::query_as(include_str!("sql/subject_find.sql"))
                .bind(ctx.tenant())
                .bind(subject.hash)
                .fetch_optional(&mut *tx)
                .await?;
        let Some((id, sealed)) = row else {
            return Ok(None);
        };
        let envelope = sealed.map(|json| Envelope::from_json(&json)).transpose()?;
        Ok(Some(SubjectKey { id, envelope }))
    }

    pub(crate) async fn put(
        &self,
        ctx: &TenantCtx,
        subject: SubjectHash,
        id: KeyId,
        envelope: &Envelope,
    ) -> Result<Written, Error> {
        let mut tx = self.db.aside(ctx).await?;
        let word: String = sqlx::query_scalar(include_str!("sql/subject_put.sql"))
            .bind(id)
            .bind(subject.hash)
            .bind(envelope.to_json())
            .bind(envelope.key())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        rows::written(&word)
    }

    /// Destroys the key, with its audit entry if there was something to erase; not under a legal hold.
    pub(crate) async fn erase(&self, ctx: &TenantCtx, subject: SubjectHash) -> Result<(), Error> {
        // With one snapshot for all of it, as a server's default may have it, the hold that it has
        // waited for would not be seen.
        let options = TxOptions::default().with_isolation(Isolation::ReadCommitted);
        let mut tx = self.db.write_with(ctx, &options).await?;
        let erased: Option<KeyId> = sqlx::query_scalar(include_str!("sql/subject_erase.sql"))
            .bind(KeyId::new())
            .bind(subject.hash)
            .fetch_one(&mut *tx)
            .await
            .map_err(not_erased)?;
        if let Some(id) = erased {
            let event = Event::new("subject.erased").target("subject_key", id);
            self.audit.record_in(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }
}

fn not_erased(error: sqlx::Error) -> Error {
    let database = error.as_database_error();
    // Raised by `tenancy.erase_subject_key`.
    if database.and_then(DatabaseError::code).as_deref() != Some("TS001") {
        return error.into();
    }
    Error::new(
        ErrorKind::Conflict,
        "subject_held",
        "the tenant is under a legal hold, so nobody is erased: release the hold first",
    )
}
