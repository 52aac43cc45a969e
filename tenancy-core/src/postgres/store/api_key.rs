use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgInterval;

use super::PgStore;
use crate::{
    ApiKey, ApiKeyId, ApiKeyStore, Error, ErrorKind, KeyState, NewApiKey, OpenedKey, PermissionKey,
    Replacement, StoredKey, TenantId, TenantTx, UserId,
};

#[derive(Debug, sqlx::FromRow)]
struct KeyRow {
    id: ApiKeyId,
    name: String,
    prefix: String,
    permissions: Vec<String>,
    created_by: UserId,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    rotated_to: Option<ApiKeyId>,
}

#[derive(Debug, sqlx::FromRow)]
struct OpenedRow {
    tenant_id: TenantId,
    id: ApiKeyId,
    permissions: Vec<String>,
    state: String,
}

fn parsed(permissions: Vec<String>) -> Result<Vec<PermissionKey>, Error> {
    let keys = permissions.into_iter().map(PermissionKey::parse);
    Ok(keys.collect::<Result<_, _>>()?)
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = Error;

    fn try_from(row: KeyRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            permissions: parsed(row.permissions)?,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
            rotated_to: row.rotated_to,
        })
    }
}

fn interval(duration: Duration) -> Result<PgInterval, Error> {
    PgInterval::try_from(duration)
        .map_err(|_| Error::invalid("api_key_validity", "the validity is no interval"))
}

#[async_trait]
impl ApiKeyStore for PgStore {
    async fn create_in(
        &self,
        tx: &mut TenantTx,
        new: &NewApiKey,
        stored: &StoredKey,
        most: u64,
    ) -> Result<(), Error> {
        let permissions: Vec<String> = new.permissions.iter().map(ToString::to_string).collect();
        let answer: String = sqlx::query_scalar(include_str!("../sql/api_key_create.sql"))
            .bind(stored.id)
            .bind(new.name.as_str())
            .bind(&stored.prefix)
            .bind(&permissions)
            .bind(stored.hash.as_slice())
            .bind(interval(new.valid_for)?)
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .fetch_one(&mut **tx)
            .await?;
        if answer == "ok" {
            return Ok(());
        }
        let message = format!("a tenant has at most {most} API keys: revoke one first");
        Err(Error::new(ErrorKind::Limit, "api_key_limit", message))
    }

    async fn rotate_in(
        &self,
        tx: &mut TenantTx,
        old: ApiKeyId,
        replacement: &Replacement,
        most: u64,
    ) -> Result<bool, Error> {
        let stored = &replacement.stored;
        let answer: String = sqlx::query_scalar(include_str!("../sql/api_key_rotate.sql"))
            .bind(old)
            .bind(stored.id)
            .bind(&stored.prefix)
            .bind(stored.hash.as_slice())
            .bind(interval(replacement.valid_for)?)
            .bind(interval(replacement.overlap)?)
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .fetch_one(&mut **tx)
            .await?;
        if answer == "limit" {
            let message = format!("{most} replaced API keys still work: revoke one first");
            return Err(Error::new(ErrorKind::Limit, "api_key_limit", message));
        }
        Ok(answer == "ok")
    }

    async fn revoke_in(&self, tx: &mut TenantTx, id: ApiKeyId) -> Result<bool, Error> {
        Ok(sqlx::query_scalar("SELECT tenancy.revoke_api_key($1)")
            .bind(id)
            .fetch_one(&mut **tx)
            .await?)
    }

    async fn get_in(&self, tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<KeyRow> = sqlx::query_as(include_str!("../sql/api_key_get.sql"))
            .bind(tenant)
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
        row.map(ApiKey::try_from).transpose()
    }

    async fn list_in(&self, tx: &mut TenantTx, limit: u16) -> Result<Vec<ApiKey>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<KeyRow> = sqlx::query_as(include_str!("../sql/api_keys_list.sql"))
            .bind(tenant)
            .bind(i64::from(limit))
            .fetch_all(&mut **tx)
            .await?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }

    async fn open(&self, hash: &[u8; 32]) -> Result<Option<OpenedKey>, Error> {
        let mut conn = self.db.unbound().await?;
        let row: Option<OpenedRow> = sqlx::query_as(include_str!("../sql/api_key_open.sql"))
            .bind(hash.as_slice())
            .fetch_optional(&mut *conn)
            .await?;
        conn.done().await?;
        row.map(|row| {
            Ok(OpenedKey {
                tenant: row.tenant_id,
                id: row.id,
                permissions: parsed(row.permissions)?,
                state: match row.state.as_str() {
                    "ok" => KeyState::Usable,
                    "expired" => KeyState::Expired,
                    _ => KeyState::MakerGone,
                },
            })
        })
        .transpose()
    }
}
