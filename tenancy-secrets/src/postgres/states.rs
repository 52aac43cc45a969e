//! States of connections that are being made.

use std::time::Duration;

use sqlx::Row as _;
use tenancy_core::{TenantCtx, TenantDb, TenantId, UserId};
use uuid::Uuid;

use super::{rotation::interval, rows};
use crate::{ConnectionId, Envelope, Error, ProviderKey};

#[derive(Clone)]
pub(crate) struct PgStates(TenantDb);

/// A state to be remembered: nothing of it opens without what the browser and the provider bring.
pub(crate) struct NewState<'a> {
    pub(crate) hash: [u8; 32],
    pub(crate) id: Uuid,
    pub(crate) provider: &'a ProviderKey,
    pub(crate) scopes: &'a [String],
    pub(crate) return_to: &'a str,
    pub(crate) browser_hash: [u8; 32],
    pub(crate) reconnect: Option<ConnectionId>,
    pub(crate) verifier: Envelope,
    pub(crate) valid_for: Duration,
    pub(crate) limit: i32,
}

/// What became of a new state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opened {
    Done,
    KeyRetired,
    TooMany,
}

/// A state that was given out; nobody gets it again.
pub(crate) struct TakenState {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    pub(crate) user: UserId,
    pub(crate) provider: ProviderKey,
    pub(crate) scopes: Vec<String>,
    pub(crate) return_to: String,
    pub(crate) browser_hash: [u8; 32],
    pub(crate) reconnect: Option<ConnectionId>,
    pub(crate) verifier: Envelope,
    pub(crate) expired: bool,
}

impl PgStates {
    pub(crate) fn new(db: TenantDb) -> Self {
        Self(db)
    }

    pub(crate) async fn open(
        &self,
        ctx: &TenantCtx,
        state: &NewState<'_>,
    ) -> Result<Opened, Error> {
        let mut tx = self.0.write(ctx).await?;
        let word: String = sqlx::query_scalar(include_str!("sql/state_open.sql"))
            .bind(state.hash.as_slice())
            .bind(state.id)
            .bind(state.provider.as_str())
            .bind(state.scopes)
            .bind(state.return_to)
            .bind(state.browser_hash.as_slice())
            .bind(state.reconnect)
            .bind(state.verifier.to_json())
            .bind(state.verifier.key())
            .bind(interval(state.valid_for))
            .bind(state.limit)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        match word.as_str() {
            "ok" => Ok(Opened::Done),
            "key_retired" => Ok(Opened::KeyRetired),
            "too_many" => Ok(Opened::TooMany),
            _ => Err(rows::unexpected("answer")),
        }
    }

    /// Takes a state by the hash of its secret. Of any number who ask, one gets it.
    pub(crate) async fn take(&self, hash: &[u8; 32]) -> Result<Option<TakenState>, Error> {
        let mut conn = self.0.unbound().await?;
        let row = sqlx::query(include_str!("sql/state_take.sql"))
            .bind(hash.as_slice())
            .fetch_optional(&mut *conn)
            .await?;
        conn.done().await?;
        let Some(row) = row else { return Ok(None) };
        let browser_hash: Vec<u8> = row.try_get("browser_hash")?;
        Ok(Some(TakenState {
            tenant: row.try_get("tenant_id")?,
            id: row.try_get("id")?,
            user: row.try_get("user_id")?,
            provider: rows::provider(&row)?,
            scopes: row.try_get("scopes")?,
            return_to: row.try_get("return_to")?,
            browser_hash: browser_hash
                .try_into()
                .map_err(|_| rows::unexpected("hash"))?,
            reconnect: row.try_get("connection_id")?,
            verifier: rows::envelope(&row, "verifier")?
                .ok_or_else(|| rows::unexpected("envelope"))?,
            expired: row.try_get("expired")?,
        }))
    }
}
