//! Events that wait to be handed to the queue.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    turns::{Shares, Turns},
    tx::TenantTx,
    worker::WorkerDb,
};
use crate::{Error, TenantId};

/// Stores an event in the caller's transaction.
pub(crate) async fn put(
    tx: &mut TenantTx,
    endpoints: Vec<String>,
    body: String,
) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/webhook_event_put.sql"))
        .bind(tenant)
        .bind(Uuid::now_v7())
        .bind(endpoints)
        .bind(body)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A stored event, given out for a while.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct ClaimedEvent {
    pub(crate) tenant_id: TenantId,
    pub(crate) id: Uuid,
    pub(crate) attempt: i32,
    pub(crate) endpoints: Vec<String>,
    pub(crate) body: String,
}

/// What becomes of a claimed event.
#[derive(Debug)]
pub(crate) enum Settled<'a> {
    /// Its jobs are in the queue.
    Told,
    /// The queue will never take it as it is.
    Parked(&'a Error),
    /// It was not its turn, or the queue takes nothing for the time being.
    Back,
}

/// The turns of the tenants that have events.
pub(crate) fn turns() -> Turns {
    Turns::new(include_str!("sql/webhook_event_tenants.sql"))
}

/// Gives out the oldest events of the tenants whose turn it is, to others as well when the lease is
/// over; and whether there may be more.
pub(crate) async fn claim(
    worker: &WorkerDb,
    turns: &Turns,
    limit: u16,
    lease: Duration,
) -> Result<(Vec<ClaimedEvent>, bool), Error> {
    let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let claim = async |tenants: Vec<TenantId>, shares: Shares| {
        Ok(sqlx::query_as(include_str!("sql/webhook_events_claim.sql"))
            .bind(tenants)
            .bind(shares.each)
            .bind(shares.all)
            .bind(lease)
            .fetch_all(worker.pool())
            .await?)
    };
    turns.page(worker, limit, claim).await
}

pub(crate) async fn settle(
    worker: &WorkerDb,
    verdicts: &[(&ClaimedEvent, Settled<'_>)],
) -> Result<(), Error> {
    if verdicts.is_empty() {
        return Ok(());
    }
    let (mut tenants, mut ids, mut attempts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut what, mut codes, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (event, settled) in verdicts {
        tenants.push(event.tenant_id);
        ids.push(event.id);
        attempts.push(event.attempt);
        let (word, error) = match settled {
            Settled::Told => ("told", None),
            Settled::Parked(error) => ("parked", Some(error)),
            Settled::Back => ("back", None),
        };
        what.push(word);
        codes.push(error.map(|error| error.code().chars().take(63).collect::<String>()));
        errors.push(error.map(|error| shown(error)));
    }
    sqlx::query(include_str!("sql/webhook_events_settle.sql"))
        .bind(tenants)
        .bind(ids)
        .bind(attempts)
        .bind(what)
        .bind(codes)
        .bind(errors)
        .execute(worker.pool())
        .await?;
    Ok(())
}

/// No NUL, and no more than the column takes.
fn shown(error: &Error) -> String {
    let text = error.to_string();
    text.chars().filter(|c| *c != '\0').take(2_000).collect()
}

/// An event that the queue refused for good.
#[derive(Clone, Debug, Eq, PartialEq, sqlx::FromRow)]
#[non_exhaustive]
pub struct ParkedEvent {
    /// Whose event it is.
    #[sqlx(rename = "tenant_id")]
    pub tenant: TenantId,
    /// Its id, which is its tenant's alone: another tenant may have the same.
    pub id: Uuid,
    /// When it happened.
    pub recorded_at: DateTime<Utc>,
    /// When the queue refused it.
    pub parked_at: DateTime<Utc>,
    /// Who was to be told.
    pub endpoints: Vec<String>,
    /// The code of the queue's error, such as `job_payload_too_large`.
    #[sqlx(rename = "error_code")]
    pub code: String,
    /// What the queue said.
    #[sqlx(rename = "error")]
    pub why: String,
}

impl ParkedEvent {
    /// What no other event has.
    pub fn key(&self) -> (TenantId, Uuid) {
        (self.tenant, self.id)
    }
}

pub(crate) async fn parked(
    worker: &WorkerDb,
    after: Option<(TenantId, Uuid)>,
    limit: u16,
) -> Result<Vec<ParkedEvent>, Error> {
    let (tenant, id) = after.unzip();
    Ok(
        sqlx::query_as(include_str!("sql/webhook_events_parked.sql"))
            .bind(tenant)
            .bind(id)
            .bind(i32::from(limit))
            .fetch_all(worker.pool())
            .await?,
    )
}

/// Takes parked events up again, or drops them; how many.
pub(crate) async fn release(
    worker: &WorkerDb,
    keys: &[(TenantId, Uuid)],
    drop: bool,
) -> Result<u64, Error> {
    let (tenants, ids): (Vec<TenantId>, Vec<Uuid>) = keys.iter().copied().unzip();
    let count: i64 = sqlx::query_scalar(include_str!("sql/webhook_events_release.sql"))
        .bind(tenants)
        .bind(ids)
        .bind(drop)
        .fetch_one(worker.pool())
        .await?;
    Ok(count.unsigned_abs())
}
