//! Tries whose callers are gone.

use tenancy_core::{AuditSink, TenantId, TenantTx, WorkerDb};
use uuid::Uuid;

use super::rows::unreadable;
use crate::{Error, IdempotencyKey, InvocationState, ToolId, model::LostTry};

#[derive(Debug, sqlx::FromRow)]
struct LostRow {
    tool_id: ToolId,
    tool: String,
    idem_key: String,
    effect_class: String,
    state: String,
    attempt: i32,
    caller: Option<String>,
    request_id: Option<Uuid>,
}

impl TryFrom<LostRow> for LostTry {
    type Error = Error;

    fn try_from(row: LostRow) -> Result<Self, Error> {
        let state = InvocationState::parse(&row.state);
        Ok(Self {
            tool: row.tool_id,
            name: Some(row.tool),
            key: IdempotencyKey::parse(&row.idem_key)?,
            effect: row.effect_class,
            state: state.ok_or_else(|| unreadable("mcp_invocations"))?,
            attempt: row.attempt,
            caller: row.caller,
            request: row.request_id.map(|id| id.to_string()),
        })
    }
}

/// Ends the tenant's tries whose callers are gone, or that of one call, and records each in this
/// transaction: both happen once, or neither does. Answers how many.
pub(super) async fn end_lost_in(
    tx: &mut TenantTx,
    audit: &dyn AuditSink,
    call: Option<(ToolId, &IdempotencyKey)>,
    limit: u32,
) -> Result<u64, Error> {
    let rows: Vec<LostRow> = sqlx::query_as(include_str!("sql/end_lost.sql"))
        .bind(call.map(|(tool, _)| tool))
        .bind(call.map(|(_, key)| key.as_str()))
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .fetch_all(&mut **tx)
        .await?;
    let ended = rows.len() as u64;
    for row in rows {
        let lost = LostTry::try_from(row)?;
        metrics::counter!("tenancy_mcp_tries_lost_total").increment(1);
        audit.record_in(tx, lost.event()).await?;
    }
    Ok(ended)
}

/// The active tenants with such tries, the longest waiting first.
pub(crate) async fn tenants_with_lost(db: &WorkerDb, limit: u32) -> Result<Vec<TenantId>, Error> {
    Ok(
        sqlx::query_scalar(include_str!("sql/tenants_with_lost.sql"))
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .fetch_all(db.pool())
            .await?,
    )
}
