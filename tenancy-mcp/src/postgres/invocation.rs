//! The record of calls made once, on Postgres.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use tenancy_core::{
    AuditSink, ErrorKind as CoreKind, Event, Outcome as AuditOutcome, TenantCtx, TenantDb, TenantTx,
};

use super::{lost::end_lost_in, rows::unreadable};
use crate::{
    Claim, Claimed, Completed, Completion, Error, Fingerprint, IdempotencyKey, Invocation,
    InvocationState, InvocationStore, Outcome, StoredError, StoredResponse, ToolId,
};

/// Keeps the record in Postgres, and the audit event in the same transaction.
#[derive(Clone)]
pub struct PgInvocations {
    db: TenantDb,
    audit: Arc<dyn AuditSink>,
}

impl PgInvocations {
    /// A store on this database.
    pub fn new(db: TenantDb, audit: Arc<dyn AuditSink>) -> Self {
        Self { db, audit }
    }
}

impl fmt::Debug for PgInvocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgInvocations").finish_non_exhaustive()
    }
}

#[derive(Debug, sqlx::FromRow)]
struct InvocationRow {
    tool_id: ToolId,
    idem_key: String,
    fingerprint: Vec<u8>,
    effect_class: String,
    state: String,
    fence: i64,
    attempt: i32,
    wait_ms: Option<i64>,
    response: Option<String>,
    response_hash: Option<Vec<u8>>,
    response_size: Option<i64>,
    error: Option<Json<StoredError>>,
    created_at: DateTime<Utc>,
}

impl TryFrom<InvocationRow> for Invocation {
    type Error = Error;

    fn try_from(row: InvocationRow) -> Result<Self, Error> {
        let unreadable = || unreadable("mcp_invocations");
        let wait = millis(row.wait_ms.unwrap_or(0));
        let stored = InvocationState::parse(&row.state).ok_or_else(unreadable)?;
        let owner_lost =
            stored == InvocationState::Dispatched && row.effect_class == "unsafe" && wait.is_zero();
        let response = match (row.response_hash, row.response_size) {
            (Some(hash), Some(size)) => Some(StoredResponse {
                text: row.response,
                hash: hash.try_into().map_err(|_| unreadable())?,
                size: size.unsigned_abs(),
            }),
            _ => None,
        };
        Ok(Self {
            tool: row.tool_id,
            key: IdempotencyKey::parse(&row.idem_key)?,
            fingerprint: Fingerprint::from_slice(&row.fingerprint).ok_or_else(unreadable)?,
            state: if owner_lost {
                InvocationState::Unknown
            } else {
                stored
            },
            fence: row.fence,
            attempt: row.attempt,
            wait,
            response,
            error: row.error.map(|error| error.0),
            created_at: row.created_at,
        })
    }
}

type ClaimRow = (String, Option<i64>, Option<i32>, Option<bool>, Option<i64>);

fn claimed(row: ClaimRow) -> Result<Claimed, Error> {
    let (verdict, fence, attempt, may_repeat, wait) = row;
    let wait = millis(wait.unwrap_or(0));
    Ok(match verdict.as_str() {
        "blocked" => Claimed::Blocked,
        "conflict" => Claimed::Conflict,
        "in_flight" => Claimed::InFlight(wait),
        "not_due" => Claimed::NotDue(wait),
        "settled" | "spent" => Claimed::Settled,
        "suspended" => Claimed::Suspended,
        "unknown" => Claimed::Unknown,
        "execute" => match (fence, attempt, may_repeat) {
            (Some(fence), Some(attempt), Some(may_repeat)) => Claimed::Execute {
                fence,
                attempt,
                may_repeat,
            },
            _ => return Err(unreadable("mcp_invocations")),
        },
        _ => return Err(unreadable("mcp_invocations")),
    })
}

#[async_trait]
impl InvocationStore for PgInvocations {
    async fn find(
        &self,
        ctx: &TenantCtx,
        tool: ToolId,
        key: &IdempotencyKey,
    ) -> Result<Option<Invocation>, Error> {
        let mut tx = self.db.read(ctx).await?;
        self.find_in(&mut tx, tool, key).await
    }

    async fn find_in(
        &self,
        tx: &mut TenantTx,
        tool: ToolId,
        key: &IdempotencyKey,
    ) -> Result<Option<Invocation>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<InvocationRow> = sqlx::query_as(include_str!("sql/invocation_find.sql"))
            .bind(tenant)
            .bind(tool)
            .bind(key.as_str())
            .fetch_optional(&mut **tx)
            .await?;
        row.map(Invocation::try_from).transpose()
    }

    async fn claim(&self, ctx: &TenantCtx, claim: &Claim) -> Result<Claimed, Error> {
        let mut tx = self.db.write(ctx).await?;
        let mut row = ask(&mut tx, claim).await?;
        if row.0 == "lost" {
            let call = Some((claim.tool, &claim.key));
            end_lost_in(&mut tx, &*self.audit, call, 1).await?;
            row = ask(&mut tx, claim).await?;
        }
        if row.0 == "spent" {
            self.record_in(&mut tx, given_up(claim)).await?;
        }
        tx.commit().await?;
        claimed(row)
    }

    async fn complete(
        &self,
        ctx: &TenantCtx,
        completion: &Completion,
        event: Event,
    ) -> Result<Completed, Error> {
        let mut tx = self.db.write(ctx).await?;
        let parts = Parts::of(&completion.outcome);
        let state: Option<String> = parts
            .bind_to(
                sqlx::query_scalar(include_str!("sql/complete.sql"))
                    .bind(completion.tool)
                    .bind(completion.key.as_str())
                    .bind(completion.fence)
                    .bind(parts.outcome),
            )
            .bind(whole_millis(parts.retry_in))
            .fetch_one(&mut *tx)
            .await?;
        let Some(state) = state else {
            return Ok(Completed::Stale);
        };
        let state = InvocationState::parse(&state).ok_or_else(|| unreadable("mcp_invocations"))?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(Completed::Recorded(state))
    }

    async fn resolve(
        &self,
        ctx: &TenantCtx,
        tool: ToolId,
        key: &IdempotencyKey,
        outcome: &Outcome,
        event: Event,
    ) -> Result<bool, Error> {
        let mut tx = self.db.write(ctx).await?;
        // A caller who is gone is recorded before what somebody found out about his call.
        end_lost_in(&mut tx, &*self.audit, Some((tool, key)), 1).await?;
        let parts = Parts::of(outcome);
        let resolved: bool = parts
            .bind_to(
                sqlx::query_scalar(include_str!("sql/resolve.sql"))
                    .bind(tool)
                    .bind(key.as_str())
                    .bind(parts.outcome),
            )
            .fetch_one(&mut *tx)
            .await?;
        if resolved {
            self.audit.record_in(&mut tx, event).await?;
            tx.commit().await?;
        }
        Ok(resolved)
    }

    async fn unknown(&self, ctx: &TenantCtx, limit: u16) -> Result<Vec<Invocation>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let rows: Vec<InvocationRow> = sqlx::query_as(include_str!("sql/invocations_unknown.sql"))
            .bind(ctx.tenant())
            .bind(i64::from(limit))
            .fetch_all(&mut *tx)
            .await?;
        rows.into_iter().map(Invocation::try_from).collect()
    }

    async fn end_lost(&self, ctx: &TenantCtx, limit: u16) -> Result<u64, Error> {
        let mut tx = self.db.write(ctx).await?;
        let ended = end_lost_in(&mut tx, &*self.audit, None, limit.into()).await?;
        if ended > 0 {
            tx.commit().await?;
        }
        Ok(ended)
    }
}

async fn ask(tx: &mut TenantTx, claim: &Claim) -> Result<ClaimRow, Error> {
    Ok(sqlx::query_as(include_str!("sql/claim.sql"))
        .bind(claim.tool)
        .bind(claim.key.as_str())
        .bind(claim.fingerprint.as_bytes().as_slice())
        .bind(claim.definition.as_bytes().as_slice())
        .bind(claim.owner)
        .bind(whole_millis(claim.lease))
        .fetch_one(&mut **tx)
        .await?)
}

/// The last of a hundred tries was the last.
fn given_up(claim: &Claim) -> Event {
    Event::new("mcp.invocation.given_up")
        .outcome(AuditOutcome::Error)
        .target("mcp_tool", claim.tool)
        .meta("call", claim.key.as_str())
        .meta("effect", claim.effect.as_str())
        .meta("state", InvocationState::Failed.as_str())
        .meta("code", "attempts_spent")
}

impl PgInvocations {
    /// An event that the sink finds malformed must not cost the record of what was done.
    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<(), Error> {
        match self.audit.record_in(tx, event).await {
            Err(error) if error.kind() == CoreKind::InvalidInput => {
                tracing::error!(%error, tenant = %tx.ctx().tenant(), "a call could not be audited");
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }
}

/// An outcome as the functions take it.
struct Parts<'a> {
    outcome: &'static str,
    response: Option<&'a StoredResponse>,
    error: Option<&'a StoredError>,
    retry_in: Duration,
}

type ScalarQuery<'q, O> =
    sqlx::query::QueryScalar<'q, sqlx::Postgres, O, sqlx::postgres::PgArguments>;

impl<'a> Parts<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let parts = |outcome, response, error, retry_in| Self {
            outcome,
            response,
            error,
            retry_in,
        };
        match outcome {
            Outcome::Ambiguous(error, after) => parts("ambiguous", None, Some(error), *after),
            Outcome::NotExecuted(error, after) => parts("not_executed", None, Some(error), *after),
            Outcome::Failed(error, response) => {
                parts("failed", response.as_ref(), Some(error), Duration::ZERO)
            }
            Outcome::Succeeded(response) => {
                parts("succeeded", Some(response), None, Duration::ZERO)
            }
        }
    }

    /// Text, hash and size of the response, and the error, in this order.
    fn bind_to<'q, O>(&self, query: ScalarQuery<'q, O>) -> ScalarQuery<'q, O> {
        let size = self
            .response
            .map(|kept| i64::try_from(kept.size).unwrap_or(i64::MAX));
        query
            .bind(self.response.and_then(|kept| kept.text.clone()))
            .bind(self.response.map(|kept| kept.hash.to_vec()))
            .bind(size)
            .bind(self.error.map(|error| Json(error.clone())))
    }
}

fn millis(count: i64) -> Duration {
    Duration::from_millis(count.unsigned_abs())
}

/// As the database can add it to a moment: ten years at most.
fn whole_millis(duration: Duration) -> i64 {
    const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);
    i64::try_from(duration.min(LONGEST).as_millis()).unwrap_or(i64::MAX)
}
