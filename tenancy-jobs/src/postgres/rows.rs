//! Rows and the values they become.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tenancy_core::{JobId, JobKind, RequestId, TenantId};

use super::count;
use crate::{
    Beat, ClaimedJob, Error, Exchange, Fault, Fence, JobRef, JobState, JobView, Progress, QueueName,
};

#[derive(Debug, sqlx::FromRow)]
pub(super) struct ViewRow {
    id: JobId,
    queue: String,
    kind: String,
    state: String,
    priority: i16,
    attempt: i32,
    max_attempts: i32,
    enqueued_at: DateTime<Utc>,
    run_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    request_id: Option<RequestId>,
    payload: Option<Value>,
    result: Option<Value>,
    error_code: Option<String>,
    error: Option<String>,
    done: Option<i64>,
    total: Option<i64>,
}

impl TryFrom<ViewRow> for JobView {
    type Error = Error;

    fn try_from(row: ViewRow) -> Result<Self, Error> {
        let total = row.total.map(count);
        Ok(Self {
            id: row.id,
            queue: QueueName::parse(row.queue).map_err(|_| Error::unexpected_row("queue"))?,
            kind: JobKind::parse(row.kind).map_err(|_| Error::unexpected_row("kind"))?,
            state: JobState::parse(&row.state).ok_or_else(|| Error::unexpected_row("state"))?,
            priority: row.priority,
            attempt: u16::try_from(row.attempt).unwrap_or(u16::MAX),
            max_attempts: u16::try_from(row.max_attempts).unwrap_or(u16::MAX),
            enqueued_at: row.enqueued_at,
            run_at: row.run_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            request: row.request_id,
            payload: row.payload,
            result: row.result,
            fault: row
                .error_code
                .map(|code| Fault::new(code, row.error.unwrap_or_default())),
            progress: row.done.map(|done| Progress::new(count(done), total)),
        })
    }
}

/// A stale settlement or a claimed job; the first has no more than its id.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct ExchangeRow {
    stale: bool,
    tenant_id: TenantId,
    id: JobId,
    attempt: Option<i32>,
    max_attempts: Option<i32>,
    kind: Option<String>,
    payload: Option<Value>,
    principal: Option<Value>,
    request_id: Option<RequestId>,
    timeout_ms: Option<i32>,
    priority: Option<i16>,
}

impl ExchangeRow {
    fn claimed(self) -> Result<ClaimedJob, Error> {
        let attempt = self
            .attempt
            .ok_or_else(|| Error::unexpected_row("attempt"))?;
        let kind = self.kind.and_then(|kind| JobKind::parse(kind).ok());
        Ok(ClaimedJob {
            job: JobRef::new(self.tenant_id, self.id, attempt),
            max_attempts: self.max_attempts.unwrap_or(1),
            kind: kind.ok_or_else(|| Error::unexpected_row("kind"))?,
            payload: self.payload.unwrap_or_default(),
            principal: self
                .principal
                .and_then(|value| serde_json::from_value(value).ok()),
            request: self.request_id,
            timeout: Duration::from_millis(count(self.timeout_ms.unwrap_or(1))),
            priority: self.priority.unwrap_or_default(),
        })
    }
}

pub(super) fn exchange(rows: Vec<ExchangeRow>) -> Result<Exchange, Error> {
    let (stale, claimed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.stale);
    Ok(Exchange::new(
        stale.into_iter().map(|row| row.id).collect(),
        claimed
            .into_iter()
            .map(ExchangeRow::claimed)
            .collect::<Result<_, _>>()?,
    ))
}

/// Known or not, and a job the worker holds, if it holds any.
pub(super) type BeatRow = (bool, Option<TenantId>, Option<JobId>, Option<i32>);

pub(super) fn beat(rows: Vec<BeatRow>) -> Beat {
    let known = rows.iter().any(|(known, ..)| *known);
    let owned = rows
        .into_iter()
        .filter_map(|(_, tenant, id, attempt)| Some(JobRef::new(tenant?, id?, attempt?)));
    Beat::new(Fence::held_if(known), owned.collect())
}
