//! Reading an entry's line of a proof without making an entry of it.
//!
//! A verifier needs the hash of what is there and not the values. A line that is byte for byte as an export
//! writes it (fields in their order, no blanks, keys of objects sorted) is hashed while it is scanned. Any other
//! line is left to the parser of JSON, which says what is wrong with it.

mod details;
mod scan;
mod time;
mod value;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use chrono::{DateTime, Utc};
use tenancy_core::{Outcome, TenantId, UserId};
use uuid::Uuid;

use super::{
    canonical::Encoder,
    entry::{AuditEntryId, DOMAIN, Record, SCHEMA_VERSION},
    seal::{Leaf, SealKeys, SealedAs},
    verdict::{Change, Verdict},
};
use scan::Scan;

/// What a line says of an entry, as far as a seal holds it to that.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct EntrySeen {
    pub(crate) tenant: TenantId,
    pub(crate) id: AuditEntryId,
    pub(crate) leaf: Leaf,
    pub(crate) verdict: Verdict,
}

/// The memory in which entries are hashed.
#[derive(Debug)]
pub(crate) struct Scratch {
    entry: Encoder,
    detail: Encoder,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            entry: Encoder::scratch(),
            detail: Encoder::scratch(),
        }
    }
}

impl EntrySeen {
    pub(crate) fn of(record: &Record, stored: SealedAs, keys: &SealKeys) -> Self {
        Self {
            tenant: record.tenant,
            id: record.id,
            leaf: Leaf::of(record, stored),
            verdict: record.verify_stored(Some(keys)),
        }
    }

    /// From a line as an export writes it; `None` of any other.
    pub(crate) fn scan(line: &[u8], scratch: &mut Scratch) -> Option<Self> {
        let Scratch {
            entry: encoder,
            detail,
        } = scratch;
        // Another form of the line's rare parts makes it slower and changes nothing.
        let line = std::str::from_utf8(line).ok()?;
        let mut scan = Scan::new(line);
        scan.literal(r#"{"entry":{"transaction":""#)?;
        let transaction = scan.while_(|byte| byte.is_ascii_digit()).parse().ok()?;
        scan.literal(r#"","record":{"schema_version":1,"id":""#)?;
        let Head {
            tenant,
            id,
            created_at,
        } = Head::scan(&mut scan, encoder)?;
        scan.literal(r#","request_id":"#)?;
        let request = uuid_or_null(&mut scan)?;
        scan.literal(r#","context":"#)?;
        value::object(&mut scan, encoder)?;
        scan.literal(r#","personal":"#)?;
        details::details(&mut scan, encoder, detail, (tenant, id))?;
        encoder.uuid(request);
        scan.literal(r#","meta":"#)?;
        value::object(&mut scan, encoder)?;
        scan.literal(r#","redacted":"#)?;
        encoder.flag(scan.flag()?);
        scan.literal(r#","truncated":"#)?;
        encoder.flag(scan.flag()?);
        scan.literal(r#","content_hash":""#)?;
        let content_hash = BASE64.decode(scan.exactly(43)?).ok()?.try_into().ok()?;
        scan.literal(r#""}}}"#)?;
        if !scan.is_empty() {
            return None;
        }
        let verdict = if encoder.sha256() == content_hash {
            Verdict::Intact
        } else {
            Verdict::Changed(Change::Content)
        };
        let leaf = Leaf {
            id: id.as_uuid(),
            content_hash,
            created_at: created_at.timestamp_micros(),
            transaction,
        };
        Some(Self {
            tenant,
            id,
            leaf,
            verdict,
        })
    }
}

/// What stands in front of an entry's details.
struct Head {
    tenant: TenantId,
    id: AuditEntryId,
    created_at: DateTime<Utc>,
}

impl Head {
    /// From the id to the last target.
    fn scan(scan: &mut Scan<'_>, encoder: &mut Encoder) -> Option<Self> {
        encoder.restart(DOMAIN);
        encoder.bytes(&SCHEMA_VERSION.to_be_bytes());
        let id = uuid(scan)?;
        scan.literal(r#"","tenant_id":""#)?;
        let tenant = uuid(scan)?;
        encoder.bytes(tenant.as_bytes());
        encoder.bytes(id.as_bytes());
        scan.literal(r#"","occurred_at":""#)?;
        let occurred_at = time::time(scan)?;
        scan.literal(r#"","created_at":""#)?;
        let created_at = time::time(scan)?;
        scan.literal(r#"","actor":"#)?;
        actor(scan, encoder)?;
        action(scan, encoder)?;
        let (tenant, id) = (TenantId::from_uuid(tenant), AuditEntryId::from_uuid(id));
        // Two times that contradict each other.
        (id.made_at() == occurred_at).then_some(Self {
            tenant,
            id,
            created_at,
        })
    }
}

/// From the actor's first brace to his last one.
fn actor(scan: &mut Scan<'_>, encoder: &mut Encoder) -> Option<()> {
    scan.literal(r#"{"kind":"#)?;
    encoder.text(&scan.string()?);
    scan.literal(r#","id":"#)?;
    encoder.text(&scan.string()?);
    scan.literal(r#","user_id":"#)?;
    let user = uuid_or_null(scan)?.map(UserId::from_uuid);
    encoder.uuid(user.map(UserId::as_uuid));
    scan.literal(r#","on_behalf_of":"#)?;
    encoder.uuid(uuid_or_null(scan)?);
    scan.literal("}")
}

/// From the action to the last target.
fn action(scan: &mut Scan<'_>, encoder: &mut Encoder) -> Option<()> {
    scan.literal(r#","action":"#)?;
    encoder.text(&scan.string()?);
    scan.literal(r#","outcome":"#)?;
    let outcome = scan.string()?;
    let known = [Outcome::Allowed, Outcome::Denied, Outcome::Error];
    known.into_iter().find(|known| known.as_str() == outcome)?;
    scan.literal(r#","resource":"#)?;
    let resource = scan.string_or_null()?;
    encoder.option(resource.as_deref().map(str::as_bytes));
    encoder.text(&outcome);
    scan.literal(r#","targets":["#)?;
    let place = encoder.array_begins();
    let mut count = 0;
    while !scan.takes("]") {
        if count > 0 {
            scan.literal(",")?;
        }
        scan.literal(r#"{"kind":"#)?;
        let kind = scan.string()?;
        scan.literal(r#","id":"#)?;
        let id = scan.string()?;
        scan.literal("}")?;
        let target = encoder.object_begins();
        for (name, text) in [("id", id), ("kind", kind)] {
            encoder.text(name);
            encoder.string(&text);
        }
        encoder.counted(target, 2);
        count += 1;
    }
    encoder.counted(place, count);
    Some(())
}

fn uuid(scan: &mut Scan<'_>) -> Option<Uuid> {
    Uuid::try_parse(scan.exactly(36)?).ok()
}

#[expect(
    clippy::option_option,
    reason = "`null` in the line is something else than no such line"
)]
fn uuid_or_null(scan: &mut Scan<'_>) -> Option<Option<Uuid>> {
    if scan.takes("null") {
        return Some(None);
    }
    scan.literal("\"")?;
    let id = uuid(scan)?;
    scan.literal("\"")?;
    Some(Some(id))
}

#[cfg(test)]
mod tests;
