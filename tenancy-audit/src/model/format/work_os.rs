//! An entry as an event of the audit logs of `WorkOS`.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Serialize;
use serde_json::Value;

use super::{SortedValue, put, time};
use crate::{Error, model::entry::Entry};

/// What `WorkOS` takes of one `metadata`: so many keys, of so many characters, each with so long a text.
const MOST_KEYS: usize = 50;
const MOST_KEY: usize = 40;
const MOST_TEXT: usize = 500;

/// What the entry says beside `meta` stands under names that begin with it, and nothing of `meta` does.
const OURS: &str = "tenancy_";
const LEFT_OUT: &str = "tenancy_left_out";

type Metadata<'a> = BTreeMap<&'a str, Value>;

#[derive(Serialize)]
struct Event<'a> {
    action: &'a str,
    occurred_at: String,
    version: u64,
    actor: Party<'a>,
    targets: Vec<Party<'a>>,
    context: Context,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Party<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: Metadata<'a>,
}

/// The location may not be missing.
#[derive(Serialize)]
struct Context {
    location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

pub(super) fn line(entry: &Entry, omitted: bool, out: &mut String) -> Result<(), Error> {
    let origin = entry.origin();
    let mut of_actor = Metadata::new();
    if let Some(user) = entry.actor.on_behalf_of {
        of_actor.insert("on_behalf_of", user.to_string().into());
    }
    let party = |kind, id, metadata| Party { kind, id, metadata };
    let targets = entry.targets.iter();
    let event = Event {
        action: &entry.action,
        occurred_at: time(entry.occurred_at()),
        version: version(entry),
        actor: party(&entry.actor.kind, &entry.actor.id, of_actor),
        targets: targets
            .map(|target| party(&target.kind, &target.id, Metadata::new()))
            .collect(),
        context: Context {
            location: origin.ip.unwrap_or_else(|| "unknown".to_owned()),
            user_agent: origin.user_agent,
        },
        metadata: metadata(entry, omitted)?,
    };
    put(&event, out)?;
    out.push('\n');
    Ok(())
}

/// Of the action's schema, where the host has one.
fn version(entry: &Entry) -> u64 {
    let schema = entry.context.get("schema").and_then(Value::as_u64);
    schema.unwrap_or(1)
}

fn metadata(entry: &Entry, omitted: bool) -> Result<Metadata<'_>, Error> {
    let mut kept = ours(entry, omitted);
    let mut left_out = 0_u64;
    let mut pairs: Vec<(&String, &Value)> = entry.meta.iter().collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    for (key, value) in pairs {
        let fitting = if is_key(key) { fitting(value)? } else { None };
        match fitting {
            // One place is for the number of those that found none.
            Some(value) if kept.len() + 1 < MOST_KEYS => drop(kept.insert(key, value)),
            _ => left_out += 1,
        }
    }
    if left_out > 0 {
        kept.insert(LEFT_OUT, left_out.into());
    }
    Ok(kept)
}

fn ours(entry: &Entry, omitted: bool) -> Metadata<'static> {
    let mut ours = Metadata::from([
        ("tenancy_entry_id", entry.id.to_string().into()),
        ("tenancy_tenant_id", entry.tenant.to_string().into()),
        ("tenancy_outcome", entry.outcome.as_str().into()),
        (
            "tenancy_content_hash",
            BASE64.encode(entry.content_hash).into(),
        ),
        ("tenancy_redacted", entry.redacted.into()),
        ("tenancy_truncated", entry.truncated.into()),
    ]);
    if let Some(request) = entry.request {
        ours.insert("tenancy_request_id", request.to_string().into());
    }
    let trace = entry.origin().trace_id;
    if let Some(trace) = trace.filter(|trace| is_short(trace)) {
        ours.insert("tenancy_trace_id", trace.into());
    }
    if omitted {
        ours.insert("tenancy_omitted", true.into());
    }
    ours
}

fn is_key(key: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MOST_KEY).contains(&key.len()) && key.bytes().all(fits) && !key.starts_with(OURS)
}

/// The value, or what is in it as a text of JSON, if that is short enough.
fn fitting(value: &Value) -> Result<Option<Value>, Error> {
    Ok(match value {
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::String(text) => is_short(text).then(|| value.clone()),
        Value::Array(_) | Value::Object(_) => {
            let mut text = String::new();
            put(&SortedValue(value), &mut text)?;
            is_short(&text).then(|| text.into())
        }
    })
}

fn is_short(text: &str) -> bool {
    text.chars().count() <= MOST_TEXT
}
