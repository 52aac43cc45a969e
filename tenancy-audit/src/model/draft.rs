//! A record on its way into the log.

use std::ops::Deref;

use sha2::{Digest as _, Sha256};
use tenancy_core::UserId;

use super::{
    canonical::Encoder,
    entry::{Record, put_targets},
    personal::ORIGIN_DETAILS,
    sealed_personal::SEALED,
};
use crate::Error;

/// The most bytes of an idempotency key.
const MAX_KEY: usize = 255;

const KEY_DOMAIN: &str = "tenancy.audit.key.v2";
const CONTENT_DOMAIN: &str = "tenancy.audit.key.content.v1";

/// A record on its way into the log, and the key under which it is written once.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Draft {
    /// The record.
    pub record: Record,
    /// The key; an event without one is written whenever it comes.
    pub key: Option<EntryKey>,
}

/// What a store compares of an event that is written once.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct EntryKey {
    /// SHA-256 of the tenant and the key, so that nobody can tell that two tenants use the same.
    pub key_hash: [u8; 32],
    /// SHA-256 of what is recorded under it: actor, action, outcome, targets, meta, and the names of personal
    /// details. Their values are left out, because a hash of them would outlive their erasure.
    pub content_hash: [u8; 32],
}

impl Draft {
    pub(crate) fn new(record: Record, key: Option<EntryKey>) -> Self {
        Self { record, key }
    }
}

/// A record without a key.
impl From<Record> for Draft {
    fn from(record: Record) -> Self {
        Self::new(record, None)
    }
}

impl Deref for Draft {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl EntryKey {
    /// # Errors
    /// If the key is empty or longer than 255 bytes.
    pub(crate) fn new(key: &str, record: &Record) -> Result<Self, Error> {
        if key.is_empty() || key.len() > MAX_KEY {
            let message = format!("an idempotency key has 1 to {MAX_KEY} bytes");
            return Err(Error::invalid("audit_key_invalid", message));
        }
        let mut hasher = Sha256::new();
        hasher.update(KEY_DOMAIN);
        hasher.update(record.tenant.as_uuid().as_bytes());
        hasher.update(key);
        Ok(Self {
            key_hash: hasher.finalize().into(),
            content_hash: Self::content_of(record),
        })
    }

    /// The same of an entry as of the draft that it was.
    pub(crate) fn content_of(record: &Record) -> [u8; 32] {
        content(record)
    }
}

fn content(record: &Record) -> [u8; 32] {
    let mut encoder = Encoder::new(CONTENT_DOMAIN);
    encoder.text(&record.actor.kind);
    encoder.text(&record.actor.id);
    encoder.uuid(record.actor.on_behalf_of.map(UserId::as_uuid));
    encoder.text(&record.action);
    encoder.text(record.outcome.as_str());
    put_targets(&mut encoder, &record.targets);
    encoder.object(&record.meta);
    let mut names: Vec<&String> = record
        .commitments
        .keys()
        .filter(|name| !ORIGIN_DETAILS.contains(&name.as_str()) && !name.starts_with(SEALED))
        .collect();
    names.sort_unstable();
    encoder.count(names.len());
    for name in names {
        encoder.text(name);
    }
    encoder.sha256()
}
