//! Sealed secrets and wrapped keys on Postgres.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tenancy_core::{AuditSink, Event, TenantCtx, TenantDb, TenantTx};

use super::rows;
use crate::{
    Error, KeyId, SecretId, SecretMeta, SecretPath, SecretQuery, SecretStore, SecretWrite,
    StoredKey, StoredSecret, Written,
};

/// The [`SecretStore`] on Postgres: a row and its audit entry are one transaction.
#[derive(Clone)]
pub struct PgSecretStore {
    db: TenantDb,
    audit: Arc<dyn AuditSink>,
}

impl PgSecretStore {
    /// Keeps secrets in this database and records changes there.
    pub fn new(db: TenantDb, audit: Arc<dyn AuditSink>) -> Self {
        Self { db, audit }
    }
}

/// Stores a sealed value in the caller's transaction.
pub(super) async fn put_in(tx: &mut TenantTx, write: &SecretWrite) -> Result<Written, Error> {
    let word: String = sqlx::query_scalar(include_str!("sql/secret_put.sql"))
        .bind(write.id)
        .bind(write.path.provider().as_str())
        .bind(write.path.name())
        .bind(write.path.field().as_str())
        .bind(write.connection)
        .bind(write.envelope.to_json())
        .bind(write.envelope.key())
        .bind(write.version)
        .bind(write.replaces)
        .fetch_one(&mut **tx)
        .await?;
    rows::written(&word)
}

#[async_trait]
impl SecretStore for PgSecretStore {
    async fn active_key(&self, ctx: &TenantCtx) -> Result<Option<StoredKey>, Error> {
        // Keys are read while the caller may hold a transaction.
        let mut tx = self.db.aside(ctx).await?;
        let row = sqlx::query(include_str!("sql/data_key_active.sql"))
            .bind(ctx.tenant())
            .fetch_optional(&mut *tx)
            .await?;
        row.as_ref().map(rows::stored_key).transpose()
    }

    async fn key(&self, ctx: &TenantCtx, id: KeyId) -> Result<Option<StoredKey>, Error> {
        let mut tx = self.db.aside(ctx).await?;
        let row = sqlx::query(include_str!("sql/data_key_get.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        row.as_ref().map(rows::stored_key).transpose()
    }

    async fn install_key(&self, ctx: &TenantCtx, key: &StoredKey) -> Result<StoredKey, Error> {
        let missing = || Error::internal("data_key_unwrapped", "the key is not wrapped");
        let wrapped = key.wrapped.as_ref().ok_or_else(missing)?;
        let mut tx = self.db.aside(ctx).await?;
        let active: KeyId = sqlx::query_scalar(include_str!("sql/data_key_install.sql"))
            .bind(key.id)
            .bind(&wrapped.kek_id)
            .bind(&wrapped.bytes)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        if active == key.id {
            return Ok(key.clone());
        }
        self.active_key(ctx).await?.ok_or_else(missing)
    }

    async fn get(&self, ctx: &TenantCtx, id: SecretId) -> Result<Option<StoredSecret>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let row = sqlx::query(include_str!("sql/secret_get.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        row.as_ref().map(rows::stored_secret).transpose()
    }

    async fn find(
        &self,
        ctx: &TenantCtx,
        path: &SecretPath,
    ) -> Result<Option<StoredSecret>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let row = sqlx::query(include_str!("sql/secret_find.sql"))
            .bind(ctx.tenant())
            .bind(path.provider().as_str())
            .bind(path.name())
            .bind(path.field().as_str())
            .fetch_optional(&mut *tx)
            .await?;
        row.as_ref().map(rows::stored_secret).transpose()
    }

    async fn list(&self, ctx: &TenantCtx, query: &SecretQuery) -> Result<Vec<SecretMeta>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let rows = sqlx::query(include_str!("sql/secret_list.sql"))
            .bind(ctx.tenant())
            .bind(query.provider.as_ref().map(AsRef::<str>::as_ref))
            .bind(query.after)
            .bind(i64::from(query.page_size()))
            .fetch_all(&mut *tx)
            .await?;
        rows::all(&rows, rows::secret_meta)
    }

    async fn put(
        &self,
        ctx: &TenantCtx,
        write: &SecretWrite,
        event: Event,
    ) -> Result<Written, Error> {
        let mut tx = self.db.write(ctx).await?;
        let written = put_in(&mut tx, write).await?;
        if written == Written::Done {
            self.audit.record_in(&mut tx, event).await?;
            tx.commit().await?;
        }
        Ok(written)
    }

    async fn delete(&self, ctx: &TenantCtx, id: SecretId, event: Event) -> Result<bool, Error> {
        let mut tx = self.db.write(ctx).await?;
        let done = sqlx::query(include_str!("sql/secret_delete.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(true)
    }
}

impl fmt::Debug for PgSecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgSecretStore").finish_non_exhaustive()
    }
}
