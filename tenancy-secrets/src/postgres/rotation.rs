//! What a rotation reads and writes, as the worker.

use std::time::Duration;

use serde_json::Value;
use sqlx::{
    Row as _,
    postgres::{PgRow, types::PgInterval},
};
use tenancy_core::{TenantId, WorkerDb};
use uuid::Uuid;

use super::rows::{self, Wrapped};
use crate::{
    Binding, Envelope, Error, FieldKey, KeyId, ProviderKey, SecretId, WrapContext, WrappedKey,
    model::{Place, SubjectHash, SubjectKeyPlace},
};

#[derive(Clone)]
pub(crate) struct PgRotation(WorkerDb);

/// A run that is not done.
pub(crate) struct Run {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    pub(crate) to_key: KeyId,
    pub(crate) promoted: bool,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// A row under an older key.
pub(crate) struct SealedRow {
    pub(crate) id: SecretId,
    pub(crate) key: KeyId,
    pub(crate) generation: i64,
    encrypted: Value,
    of: RowOf,
}

/// What a sealed row holds.
enum RowOf {
    Secret {
        provider: ProviderKey,
        field: FieldKey,
        version: i64,
    },
    Subject([u8; 32]),
}

impl SealedRow {
    pub(crate) fn place(&self, tenant: TenantId) -> Box<dyn Place + Send> {
        match &self.of {
            RowOf::Secret {
                provider,
                field,
                version,
            } => {
                let (provider, field) = (provider.clone(), field.clone());
                let row = self.id.as_uuid();
                Box::new(Binding::new(tenant, provider, row, field, *version))
            }
            RowOf::Subject(hash) => Box::new(SubjectKeyPlace {
                of: SubjectHash {
                    tenant,
                    hash: *hash,
                },
                id: KeyId::from_uuid(self.id.as_uuid()),
            }),
        }
    }

    pub(crate) fn envelope(&self) -> Result<Envelope, Error> {
        Envelope::from_json(&self.encrypted)
    }
}

/// A row sealed anew, with what it must still be to be replaced.
pub(crate) struct Moved {
    pub(crate) id: SecretId,
    pub(crate) old_key: KeyId,
    pub(crate) generation: i64,
    pub(crate) envelope: Envelope,
}

/// A data key that another key than the primary one wrapped.
pub(crate) struct KeyPage {
    pub(crate) tenant: TenantId,
    pub(crate) key: KeyId,
    pub(crate) wrapped: WrappedKey,
}

impl PgRotation {
    pub(crate) fn new(worker: WorkerDb) -> Self {
        Self(worker)
    }

    pub(crate) async fn tenants(
        &self,
        after: Option<TenantId>,
        limit: i32,
    ) -> Result<Vec<TenantId>, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/rotation_tenants.sql"))
            .bind(after)
            .bind(limit)
            .fetch_all(self.0.pool())
            .await?)
    }

    pub(crate) async fn begin(
        &self,
        tenant: TenantId,
        key: KeyId,
        wrapped: &WrappedKey,
    ) -> Result<Run, Error> {
        let row = sqlx::query(include_str!("sql/rotation_begin.sql"))
            .bind(tenant)
            .bind(Uuid::now_v7())
            .bind(key)
            .bind(&wrapped.kek_id)
            .bind(&wrapped.bytes)
            .fetch_one(self.0.pool())
            .await?;
        Ok(Run {
            tenant,
            id: row.try_get("id")?,
            to_key: row.try_get("to_key")?,
            promoted: row.try_get::<&str, _>("state")? != "added",
            done: count(row.try_get("done")?),
            total: count(row.try_get("total")?),
        })
    }

    pub(crate) async fn promote(&self, tenant: TenantId, run: Uuid) -> Result<(), Error> {
        sqlx::query(include_str!("sql/rotation_promote.sql"))
            .bind(tenant)
            .bind(run)
            .execute(self.0.pool())
            .await?;
        Ok(())
    }

    pub(crate) async fn wrapped_key(
        &self,
        tenant: TenantId,
        key: KeyId,
    ) -> Result<Option<WrappedKey>, Error> {
        let found: Option<Wrapped> = sqlx::query_as(include_str!("sql/rotation_key.sql"))
            .bind(tenant)
            .bind(key)
            .fetch_optional(self.0.pool())
            .await?;
        Ok(found.map(|found| WrappedKey::new(found.kek_id, found.wrapped)))
    }

    pub(crate) async fn batch(
        &self,
        tenant: TenantId,
        run: Uuid,
        limit: u16,
    ) -> Result<Vec<SealedRow>, Error> {
        let rows = sqlx::query(include_str!("sql/rotation_batch.sql"))
            .bind(tenant)
            .bind(run)
            .bind(i32::from(limit))
            .fetch_all(self.0.pool())
            .await?;
        rows::all(&rows, sealed_row)
    }

    /// Answers how many rows were replaced; `None` if another process has finished the run.
    pub(crate) async fn store(
        &self,
        tenant: TenantId,
        run: Uuid,
        cursor: SecretId,
        moved: &[Moved],
    ) -> Result<Option<u64>, Error> {
        let ids: Vec<_> = moved.iter().map(|row| row.id.as_uuid()).collect();
        let old_keys: Vec<_> = moved.iter().map(|row| row.old_key.as_uuid()).collect();
        let generations: Vec<_> = moved.iter().map(|row| row.generation).collect();
        let envelopes: Vec<_> = moved.iter().map(|row| row.envelope.to_json()).collect();
        let replaced: Option<i64> = sqlx::query_scalar(include_str!("sql/rotation_store.sql"))
            .bind(tenant)
            .bind(run)
            .bind(cursor)
            .bind(ids)
            .bind(old_keys)
            .bind(generations)
            .bind(envelopes)
            .fetch_one(self.0.pool())
            .await?;
        Ok(replaced.map(count))
    }

    pub(crate) async fn finish(&self, tenant: TenantId, run: Uuid) -> Result<u64, Error> {
        let left: i64 = sqlx::query_scalar(include_str!("sql/rotation_finish.sql"))
            .bind(tenant)
            .bind(run)
            .fetch_one(self.0.pool())
            .await?;
        Ok(count(left))
    }

    pub(crate) async fn destroy_retired(
        &self,
        tenant: TenantId,
        grace: Duration,
    ) -> Result<u64, Error> {
        let destroyed: i64 = sqlx::query_scalar(include_str!("sql/rotation_destroy.sql"))
            .bind(tenant)
            .bind(interval(grace))
            .fetch_one(self.0.pool())
            .await?;
        Ok(count(destroyed))
    }

    pub(crate) async fn keys_to_rewrap(
        &self,
        primary: &str,
        after: Option<(TenantId, KeyId)>,
        limit: i32,
    ) -> Result<Vec<KeyPage>, Error> {
        let rows = sqlx::query(include_str!("sql/rewrap_page.sql"))
            .bind(primary)
            .bind(after.map(|(tenant, _)| tenant))
            .bind(after.map(|(_, key)| key))
            .bind(limit)
            .fetch_all(self.0.pool())
            .await?;
        rows::all(&rows, |row| {
            let kek_id: String = row.try_get("kek_id")?;
            Ok(KeyPage {
                tenant: row.try_get("tenant_id")?,
                key: row.try_get("key_id")?,
                wrapped: WrappedKey::new(kek_id, row.try_get("wrapped")?),
            })
        })
    }

    pub(crate) async fn rewrap(
        &self,
        context: &WrapContext,
        old_kek: &str,
        wrapped: &WrappedKey,
    ) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/rewrap_store.sql"))
            .bind(context.tenant)
            .bind(context.key)
            .bind(old_kek)
            .bind(&wrapped.kek_id)
            .bind(&wrapped.bytes)
            .fetch_one(self.0.pool())
            .await?)
    }
}

fn sealed_row(row: &PgRow) -> Result<SealedRow, Error> {
    Ok(SealedRow {
        id: row.try_get("id")?,
        key: row.try_get("key_id")?,
        generation: row.try_get("generation")?,
        encrypted: row.try_get("encrypted")?,
        of: match row.try_get("subject_hash")? {
            Some(hash) => RowOf::Subject(hash),
            None => RowOf::Secret {
                provider: rows::provider(row)?,
                field: FieldKey::parse(row.try_get::<String, _>("field")?)?,
                version: row.try_get("version")?,
            },
        },
    })
}

fn count(number: i64) -> u64 {
    number.try_into().unwrap_or(0)
}

/// Microseconds beyond Postgres' range become the longest it knows.
pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 2),
    }
}
