//! An entry as one line of an export.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Serialize;
use serde_json::{Map, Value};
use tenancy_core::{RequestId, Target, TenantId, UserId};

use super::entry::{AuditEntryId, Entry};
use crate::{Error, ErrorKind};

/// Fields in the order of the line. What a verifier needs is all in it.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: i16,
    id: AuditEntryId,
    tenant_id: TenantId,
    occurred_at: String,
    created_at: String,
    actor: Actor<'a>,
    action: &'a str,
    outcome: &'static str,
    resource: Option<&'a str>,
    targets: &'a [Target],
    request_id: Option<RequestId>,
    context: Value,
    personal: Value,
    commitments: Value,
    meta: Value,
    redacted: bool,
    truncated: bool,
    content_hash: String,
}

#[derive(Serialize)]
struct Actor<'a> {
    kind: &'a str,
    id: &'a str,
    user_id: Option<UserId>,
    on_behalf_of: Option<UserId>,
}

/// Appends the entry and a line feed. The same entry gives the same bytes, always.
pub(crate) fn line(entry: &Entry, out: &mut String) -> Result<(), Error> {
    let time = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let line = Line {
        schema_version: entry.schema_version,
        id: entry.id,
        tenant_id: entry.tenant,
        occurred_at: time(entry.occurred_at()),
        created_at: time(entry.created_at),
        actor: Actor {
            kind: &entry.actor.kind,
            id: &entry.actor.id,
            user_id: entry.actor.user,
            on_behalf_of: entry.actor.on_behalf_of,
        },
        action: &entry.action,
        outcome: entry.outcome.as_str(),
        resource: entry.resource.as_deref(),
        targets: &entry.targets,
        request_id: entry.request,
        context: sorted_map(&entry.context),
        personal: sorted_map(&entry.personal),
        commitments: sorted_map(&entry.commitments),
        meta: sorted_map(&entry.meta),
        redacted: entry.redacted,
        truncated: entry.truncated,
        content_hash: BASE64.encode(entry.content_hash),
    };
    let text = serde_json::to_string(&line).map_err(|_| {
        Error::new(
            ErrorKind::Internal,
            "audit_row_unreadable",
            "an entry can't be written as JSON",
        )
    })?;
    out.push_str(&text);
    out.push('\n');
    Ok(())
}

/// Keys in order, even where a host has switched on `preserve_order` of `serde_json`.
fn sorted_map(map: &Map<String, Value>) -> Value {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
    entries
        .into_iter()
        .map(|(key, value)| (key.clone(), sorted(value)))
        .collect()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => sorted_map(map),
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
