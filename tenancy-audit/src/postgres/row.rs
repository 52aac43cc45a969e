//! A row of `audit_logs` as a value.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueFormat, PgValueRef},
};
use tenancy_core::{Outcome, RequestId, Target, TenantId, UserId};

use crate::{
    AuditEntryId, Entry, Record, RecordedActor,
    model::{StrictTarget, parse_strict},
};

/// From the epoch of Postgres to that of Unix, in microseconds.
const SINCE_1970: i64 = 946_684_800_000_000;

/// A row, whatever somebody has put in it: what has no meaning becomes a damaged part of the entry, so that
/// one such row does not keep a tenant from reading the others.
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
    outcome: Told,
    targets: Targets,
    context: StrictJson,
    personal: StrictJson,
    commitments: StrictJson,
    request_id: Option<RequestId>,
    meta: StrictJson,
    redacted: bool,
    truncated: bool,
    schema_version: i16,
    content_hash: Hash,
    created_at: At,
}

impl Row {
    pub(super) fn id(&self) -> uuid::Uuid {
        self.id.as_uuid()
    }
}

/// JSON that can be read in one way only; nothing, if it can't.
#[derive(Debug)]
struct StrictJson(Option<Value>);

/// A list of targets; nothing, if it has anything else in it: a field that nobody reads would not be hashed.
#[derive(Debug)]
struct Targets(Option<Vec<Target>>);

/// An outcome; nothing, if it is none.
#[derive(Debug)]
struct Told(Option<Outcome>);

/// 32 bytes; nothing, if there are more or less.
#[derive(Debug)]
struct Hash(Option<[u8; 32]>);

/// A time that may lie outside of what can be shown, such as `infinity`.
#[derive(Clone, Copy, Debug)]
pub(super) struct At(i64);

impl At {
    pub(super) fn time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0.checked_add(SINCE_1970)?)
    }
}

/// The parts of a row that have no meaning.
#[derive(Default)]
struct Damage(Vec<String>);

impl Damage {
    fn or_empty<T: Default>(&mut self, part: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.0.push(part.to_owned());
            T::default()
        })
    }

    fn object(&mut self, part: &str, json: StrictJson) -> Map<String, Value> {
        let object = match json.0 {
            Some(Value::Object(map)) => Some(map),
            _ => None,
        };
        self.or_empty(part, object)
    }
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        let mut damage = Damage::default();
        let outcome = row.outcome.0;
        if outcome.is_none() {
            damage.0.push("outcome".to_owned());
        }
        let mut record = Record {
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
            outcome: outcome.unwrap_or(Outcome::Error),
            targets: damage.or_empty("targets", row.targets.0),
            context: damage.object("context", row.context),
            personal: damage.object("personal", row.personal),
            commitments: damage.object("commitments", row.commitments),
            request: row.request_id,
            meta: damage.object("meta", row.meta),
            redacted: row.redacted,
            truncated: row.truncated,
            schema_version: row.schema_version,
            content_hash: damage.or_empty("content_hash", row.content_hash.0),
            damaged: Vec::new(),
            shown: Vec::new(),
        };
        let created_at = damage.or_empty("created_at", row.created_at.time());
        record.damaged = damage.0;
        Self::new(record, created_at)
    }
}

impl Type<Postgres> for StrictJson {
    fn type_info() -> PgTypeInfo {
        <Value as Type<Postgres>>::type_info()
    }

    fn compatible(of: &PgTypeInfo) -> bool {
        <Value as Type<Postgres>>::compatible(of)
    }
}

impl<'r> Decode<'r, Postgres> for StrictJson {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(match json(&value)? {
            // Most parts of most entries.
            b"{}" => Some(Value::Object(Map::new())),
            text => parse_strict(text),
        }))
    }
}

/// The text of a value of JSON.
fn json<'r>(value: &PgValueRef<'r>) -> Result<&'r [u8], BoxDynError> {
    let binary = value.format() == PgValueFormat::Binary;
    // The first byte of the binary form is its version.
    let text = value.as_bytes()?.get(usize::from(binary)..);
    Ok(text.unwrap_or_default())
}

impl Type<Postgres> for Targets {
    fn type_info() -> PgTypeInfo {
        StrictJson::type_info()
    }

    fn compatible(of: &PgTypeInfo) -> bool {
        StrictJson::compatible(of)
    }
}

impl<'r> Decode<'r, Postgres> for Targets {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let targets: Option<Vec<StrictTarget>> = serde_json::from_slice(json(&value)?).ok();
        let targets = targets.map(|all| all.into_iter().map(|target| target.0).collect());
        Ok(Self(targets))
    }
}

impl Type<Postgres> for Told {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(of: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(of)
    }
}

impl<'r> Decode<'r, Postgres> for Told {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<Postgres>>::decode(value)?;
        let outcome = [Outcome::Allowed, Outcome::Denied, Outcome::Error]
            .into_iter()
            .find(|outcome| outcome.as_str() == text);
        Ok(Self(outcome))
    }
}

impl Type<Postgres> for Hash {
    fn type_info() -> PgTypeInfo {
        <[u8] as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Hash {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <&[u8] as Decode<Postgres>>::decode(value)?;
        Ok(Self(bytes.try_into().ok()))
    }
}

impl Type<Postgres> for At {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for At {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(i64::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}
