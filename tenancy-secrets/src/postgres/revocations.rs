//! The end of connections, and tokens that are to be taken back.

use std::time::Duration;

use serde_json::Value;
use sqlx::Row as _;
use tenancy_core::{Event, TenantCtx, TenantId, TenantTx, WorkerDb};
use uuid::Uuid;

use super::{
    connections::{ALL_TOKENS, PgConnections, wipe},
    rotation::interval,
    rows,
};
use crate::{Binding, Connection, ConnectionId, Envelope, Error, FieldKey, ProviderKey};

/// What came of ending a connection.
pub(crate) enum Ended {
    /// Somebody else has ended it.
    Already,
    /// A refresh is running, or somebody else has just ended it.
    Busy,
    /// It has ended; the token that is to be taken back, if there is one.
    Now(Option<Uuid>),
}

/// A token to be taken back.
pub(crate) struct PendingRevocation {
    pub(crate) id: Uuid,
    pub(crate) connection: ConnectionId,
    pub(crate) provider: ProviderKey,
    pub(crate) binding: Binding,
    pub(crate) envelope: Envelope,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Since when, in seconds.
    pub(crate) age: f64,
}

impl PgConnections {
    /// Ends a connection in one transaction: its status, its tokens, the event, and the first of
    /// `fields` that it has as a token to be taken back, which others may try after `lease`.
    pub(crate) async fn end(
        &self,
        ctx: &TenantCtx,
        connection: &Connection,
        fields: &[&str],
        (force, lease): (bool, Duration),
        event: Event,
    ) -> Result<Ended, Error> {
        let mut tx = self.db.write(ctx).await?;
        let reason = if fields.is_empty() {
            "revocation_unsupported"
        } else {
            "revocation_pending"
        };
        let done = sqlx::query(include_str!("sql/connection_end.sql"))
            .bind(ctx.tenant())
            .bind(connection.id)
            .bind(force)
            .bind(reason)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(if force { Ended::Already } else { Ended::Busy });
        }
        let mut pending = None;
        for field in fields {
            pending = keep(&mut tx, connection, field, lease).await?;
            if pending.is_some() {
                break;
            }
        }
        if pending.is_none() && !fields.is_empty() {
            note(&mut tx, connection.id, "revocation_unsupported").await?;
        }
        wipe(&mut tx, &connection.provider, connection.id, ALL_TOKENS).await?;
        let revocation = if pending.is_some() {
            "pending"
        } else {
            "unsupported"
        };
        let event = event.meta("revocation", revocation);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(Ended::Now(pending))
    }

    pub(crate) async fn revocation(
        &self,
        ctx: &TenantCtx,
        id: Uuid,
    ) -> Result<Option<PendingRevocation>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let row = sqlx::query(include_str!("sql/revocation_load.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (provider, secret): (_, Uuid) = (rows::provider(&row)?, row.try_get("secret_id")?);
        let field = FieldKey::parse(row.try_get::<String, _>("field")?)?;
        let version = row.try_get("version")?;
        let attempts: i32 = row.try_get("attempts")?;
        Ok(Some(PendingRevocation {
            id,
            connection: row.try_get("connection_id")?,
            binding: Binding::new(ctx.tenant(), provider.clone(), secret, field, version),
            provider,
            envelope: Envelope::from_json(&row.try_get::<Value, _>("encrypted")?)?,
            attempts: attempts.unsigned_abs(),
            age: row.try_get("age")?,
        }))
    }

    /// Puts it off; it counts as a try.
    pub(crate) async fn revoke_later(
        &self,
        ctx: &TenantCtx,
        id: Uuid,
        wait: Duration,
    ) -> Result<(), Error> {
        let mut tx = self.settling(ctx).await?;
        sqlx::query(include_str!("sql/revocation_later.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .bind(wait.as_secs_f64())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Wipes the token, notes how it ended, and records that, unless somebody else has.
    pub(crate) async fn revocation_ended(
        &self,
        ctx: &TenantCtx,
        pending: &PendingRevocation,
        how: &str,
        event: Event,
    ) -> Result<(), Error> {
        let mut tx = self.settling(ctx).await?;
        let gone = sqlx::query(include_str!("sql/revocation_end.sql"))
            .bind(ctx.tenant())
            .bind(pending.id)
            .execute(&mut *tx)
            .await?;
        if gone.rows_affected() == 1 {
            note(&mut tx, pending.connection, how).await?;
            self.audit.record_in(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Keeps the connection's token of this field, if it has one.
async fn keep(
    tx: &mut TenantTx,
    connection: &Connection,
    field: &str,
    lease: Duration,
) -> Result<Option<Uuid>, Error> {
    let (tenant, id) = (tx.ctx().tenant(), Uuid::now_v7());
    let kept = sqlx::query(include_str!("sql/revocation_add.sql"))
        .bind(tenant)
        .bind(id)
        .bind(connection.id)
        .bind(connection.provider.as_str())
        .bind(connection.id.to_string())
        .bind(field)
        .bind(lease.as_secs_f64())
        .execute(&mut **tx)
        .await?;
    Ok((kept.rows_affected() == 1).then_some(id))
}

async fn note(tx: &mut TenantTx, connection: ConnectionId, how: &str) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/connection_revoked.sql"))
        .bind(tenant)
        .bind(connection)
        .bind(how)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Claims revocations of all tenants that are due, as the worker.
pub(crate) async fn due_revocations(
    worker: &WorkerDb,
    limit: u16,
    lease: Duration,
) -> Result<Vec<(TenantId, Uuid)>, Error> {
    Ok(sqlx::query_as(include_str!("sql/revocations_due.sql"))
        .bind(i32::from(limit))
        .bind(interval(lease))
        .fetch_all(worker.pool())
        .await?)
}
