//! A row of `audit_logs` as a value.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tenancy_core::{Outcome, RequestId, Target, TenantId, UserId};

use crate::{AuditEntryId, Entry, Error, ErrorKind, Record, RecordedActor};

#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    tenant_id: TenantId,
    id: AuditEntryId,
    actor_user_id: Option<UserId>,
    actor_kind: String,
    actor_id: String,
    on_behalf_of: Option<UserId>,
    action: String,
    resource: Option<String>,
    outcome: String,
    targets: Value,
    context: Value,
    personal: Value,
    commitments: Value,
    request_id: Option<RequestId>,
    meta: Value,
    redacted: bool,
    truncated: bool,
    schema_version: i16,
    content_hash: Vec<u8>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Entry {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let record = Record {
            id: row.id,
            tenant: row.tenant_id,
            actor: RecordedActor {
                kind: row.actor_kind,
                id: row.actor_id,
                user: row.actor_user_id,
                on_behalf_of: row.on_behalf_of,
            },
            action: row.action,
            resource: row.resource,
            outcome: outcome(&row.outcome)?,
            targets: targets(row.targets)?,
            context: object(row.context)?,
            personal: object(row.personal)?,
            commitments: object(row.commitments)?,
            request: row.request_id,
            meta: object(row.meta)?,
            redacted: row.redacted,
            truncated: row.truncated,
            schema_version: row.schema_version,
            content_hash: row.content_hash.try_into().map_err(|_| unreadable())?,
        };
        Ok(Self::new(record, row.created_at))
    }
}

fn outcome(text: &str) -> Result<Outcome, Error> {
    [Outcome::Allowed, Outcome::Denied, Outcome::Error]
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(unreadable)
}

fn targets(value: Value) -> Result<Vec<Target>, Error> {
    serde_json::from_value(value).map_err(|_| unreadable())
}

fn object(value: Value) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> Error {
    Error::new(
        ErrorKind::Internal,
        "audit_row_unreadable",
        "an entry has a shape that this version can't read",
    )
}
