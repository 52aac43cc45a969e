//! What has to hold for any bytes that come in: for the fuzz targets in `fuzz/` and for property
//! tests. Each function panics where a promise is broken.

mod made;
mod proofs;

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use tenancy_core::{Event, Principal, TenantCtx, TenantId, UserId, testing::imagined};

use super::MemoryAuditStore;
use crate::{
    AuditWriter, Error, ErrorKind, Limits, Oversize, Record, Redaction, SealKeys,
    model::{EntrySeen, Place, ProofLine, Scratch, SealedAs},
};

pub use made::{Made, made};
pub use proofs::{anchor, damaged_proof, keys, proof};

/// The longest message of an error; what it repeats of the input is cut off.
const MAX_MESSAGE: usize = 1_024;

/// An event whose `meta`, personal details and targets come from outside, as JSON.
pub fn event(json: &[u8]) {
    let Ok(Value::Object(given)) = serde_json::from_slice(json) else {
        return;
    };
    let event = event_of(given);
    let ctx = imagined(TenantId::new(), Principal::user(UserId::new()));
    for oversize in [Oversize::Refuse, Oversize::Truncate] {
        let limits = Limits::default().with_oversize(oversize);
        match prepared(&limits, &ctx, event.clone()) {
            Ok(record) => kept(&limits, &ctx, &record),
            Err(error) => refused(&error, oversize),
        }
    }
}

/// A text that is about to be recorded.
pub fn text(text: &str) {
    let redaction = Redaction::new();
    for place in [Place::Identifier, Place::Text] {
        if let Some(clean) = redaction.scrub(text, place) {
            assert!(clean.contains("[redacted"), "what was taken out is marked");
        }
    }
    // Whatever stands around it, a token does not stay.
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let around = format!("{text} {token}\n{text}");
    let clean = redaction.scrub(&around, Place::Text);
    assert!(
        clean.is_some_and(|clean| !clean.contains(token)),
        "a token stays: {around:?}"
    );
}

/// A line of a proof: what is scanned is what the parser of JSON says.
pub fn line(line: &[u8]) {
    let Some(seen) = EntrySeen::scan(line, &mut Scratch::new()) else {
        return;
    };
    let parsed = match serde_json::from_slice::<ProofLine<'_>>(line) {
        Ok(ProofLine::Entry(entry)) => entry.into_entry(),
        _ => None,
    };
    let of =
        |(record, stored): (Record, SealedAs)| EntrySeen::of(&record, stored, &SealKeys::new([]));
    assert_eq!(Some(seen), parsed.map(of), "two readings of one line");
}

fn event_of(mut given: Map<String, Value>) -> Event {
    let mut event = Event::new("fuzz.made");
    if let Some(Value::Array(targets)) = given.remove("targets") {
        for target in targets {
            event = event.target("thing", target.as_str().unwrap_or_default());
        }
    }
    if let Some(Value::Object(personal)) = given.remove("personal") {
        event.personal = personal;
    }
    if let Some(Value::String(key)) = given.remove("key") {
        event = event.idempotency_key(key);
    }
    let mut text = |name: &str| match given.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    event.origin.ip = text("ip");
    event.origin.user_agent = text("user_agent");
    event.origin.trace_id = text("trace_id");
    event.meta = given;
    event
}

fn prepared(limits: &Limits, ctx: &TenantCtx, event: Event) -> Result<Record, Error> {
    let store = Arc::new(MemoryAuditStore::new());
    let writer = AuditWriter::new(store).with_limits(limits.clone());
    // Without a cipher there is nothing to wait for.
    let draft = writer.prepare(ctx, event).now_or_never();
    draft.map_or_else(
        || Err(Error::invalid("fuzz_waits", "it waits")),
        |draft| Ok(draft?.record),
    )
}

fn kept(limits: &Limits, ctx: &TenantCtx, record: &Record) {
    assert!(record.verify().is_intact(), "an entry verifies");
    for (name, value) in record.meta.iter().chain(&record.personal) {
        fits(limits, name, value, 1);
    }
    assert!(!record.meta.values().any(holds_nul), "no NUL is kept");
    // What was made fit stays as it is.
    let mut again = Event::new("fuzz.made");
    again.meta.clone_from(&record.meta);
    let generous = limits.clone().with_meta_bytes(limits.meta_bytes * 4);
    let same = prepared(&generous, ctx, again).map(|again| again.meta);
    assert!(
        same.as_ref().is_ok_and(|same| *same == record.meta),
        "it changes once more: {:?} and then {same:?}",
        record.meta
    );
}

fn fits(limits: &Limits, name: &str, value: &Value, depth: usize) {
    assert!(depth <= limits.meta_depth, "too deep: {name}");
    assert!(name.len() <= limits.meta_key_bytes, "too long: {name}");
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(name, value)| fits(limits, name, value, depth + 1)),
        // `[salt, value]` of a personal detail is one level more, at most.
        Value::Array(items) => items.iter().for_each(|item| match item {
            Value::Array(_) | Value::Object(_) => fits(limits, "", item, depth),
            _ => {}
        }),
        _ => {}
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(map) => map
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

fn refused(error: &Error, oversize: Oversize) {
    let shown = error.to_string();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(shown.len() <= MAX_MESSAGE, "a message is bounded");
    assert!(
        !shown.chars().any(char::is_control),
        "a message is one line"
    );
    let cut_off = ["audit_key_invalid", "audit_personal_reserved"];
    assert!(
        oversize == Oversize::Refuse || cut_off.contains(&error.code()),
        "refused in place of being cut off: {error}"
    );
}
