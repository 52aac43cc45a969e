//! The lines of a file that proves a tenant's log.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenancy_core::{Outcome, RequestId, TenantId, UserId};

use super::{
    entry::{AuditEntryId, Entry, Record, RecordedActor},
    format::ndjson,
    seal::{Adoption, Batch, Removal, Seal, SealHead, SealedAs},
    strict::{StrictMap, StrictTarget, has_float, object},
};
use crate::{Error, ErrorKind};

/// What the first line names.
pub(crate) const FORMAT: &str = "tenancy-audit-proof/1";

/// The longest line. An entry has less than half of that, unless somebody made it larger.
pub(crate) const LONGEST: usize = 8 * 1024 * 1024;

/// A line: a header, adoptions, then each seal before its entries, then what no seal holds, then removals, then the end.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProofLine<'a> {
    #[serde(deserialize_with = "object")]
    Header(Header),
    #[serde(deserialize_with = "object")]
    Adoption(Adoption),
    #[serde(deserialize_with = "object")]
    Seal(Box<SealLine>),
    #[serde(borrow, deserialize_with = "object")]
    Entry(Box<EntryLine<'a>>),
    #[serde(deserialize_with = "object")]
    Damaged(Damaged),
    #[serde(deserialize_with = "object")]
    Unsealed(Unsealed),
    #[serde(deserialize_with = "object")]
    Removal(Removal),
    #[serde(deserialize_with = "object")]
    End(End),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) format: String,
    pub(crate) tenant_id: TenantId,
    /// The newest seal when the export began.
    pub(crate) head: Option<SealHead>,
    /// Everything that transactions below this one wrote was sealed then.
    pub(crate) horizon: u64,
}

/// An entry of which parts can't be read, in the place of its line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Damaged {
    pub(crate) id: AuditEntryId,
    pub(crate) parts: Vec<String>,
}

/// An entry that lies below the horizon and is in no seal.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unsealed {
    pub(crate) id: AuditEntryId,
    pub(crate) transaction: u64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealLine {
    #[serde(deserialize_with = "object")]
    pub(crate) seal: Seal,
    ids: String,
    leaves: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) seals: u64,
    pub(crate) entries: u64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryLine<'a> {
    #[serde(borrow)]
    transaction: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "object")]
    record: RecordLine<'a>,
}

/// The same fields as a line of an export, see `format/ndjson.rs`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RecordLine<'a> {
    schema_version: i16,
    id: AuditEntryId,
    tenant_id: TenantId,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(deserialize_with = "object")]
    actor: ActorLine,
    action: String,
    outcome: Outcome,
    resource: Option<String>,
    targets: Vec<StrictTarget>,
    request_id: Option<RequestId>,
    context: StrictMap,
    personal: StrictMap,
    commitments: StrictMap,
    meta: StrictMap,
    redacted: bool,
    truncated: bool,
    #[serde(borrow)]
    content_hash: Cow<'a, str>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ActorLine {
    kind: String,
    id: String,
    user_id: Option<UserId>,
    on_behalf_of: Option<UserId>,
}

impl ProofLine<'_> {
    pub(crate) fn header(tenant: TenantId, head: Option<SealHead>, horizon: u64) -> Self {
        Self::Header(Header {
            format: FORMAT.to_owned(),
            tenant_id: tenant,
            head,
            horizon,
        })
    }

    pub(crate) fn adoption(adoption: Adoption) -> Self {
        Self::Adoption(adoption)
    }

    pub(crate) fn seal(seal: Seal, batch: &Batch) -> Self {
        let (ids, leaves) = (
            BASE64.encode(batch.ids_bytes()),
            BASE64.encode(batch.leaves.concat()),
        );
        Self::Seal(Box::new(SealLine { seal, ids, leaves }))
    }

    pub(crate) fn removal(removal: Removal) -> Self {
        Self::Removal(removal)
    }

    pub(crate) fn end(seals: u64, entries: u64) -> Self {
        Self::End(End { seals, entries })
    }

    /// Appends the line and a line feed.
    pub(crate) fn write(&self, out: &mut String) -> Result<(), Error> {
        out.push_str(&serde_json::to_string(self).map_err(|_| unwritable())?);
        out.push('\n');
        Ok(())
    }

    /// Appends an entry's line, as exports write entries.
    pub(crate) fn write_entry(
        entry: &Entry,
        stored: SealedAs,
        out: &mut String,
    ) -> Result<(), Error> {
        use std::fmt::Write as _;
        let begin = out.len();
        if !entry.damaged.is_empty() {
            return Self::damaged(entry, entry.damaged.clone()).write(out);
        }
        write!(
            out,
            r#"{{"entry":{{"transaction":"{}","record":"#,
            stored.transaction
        )
        .map_err(|_| unwritable())?;
        ndjson::line(entry, false, out)?;
        // Behind the record comes the rest of its line.
        out.pop();
        out.push_str("}}\n");
        if out.len() - begin > LONGEST {
            out.truncate(begin);
            return Self::damaged(entry, vec!["size".to_owned()]).write(out);
        }
        Ok(())
    }

    fn damaged(entry: &Entry, parts: Vec<String>) -> Self {
        Self::Damaged(Damaged {
            id: entry.id,
            parts,
        })
    }
}

impl SealLine {
    /// What the seal holds; `None` if it is no list of ids and as many hashes.
    pub(crate) fn batch(&self) -> Option<Batch> {
        let (ids, leaves) = (
            BASE64.decode(&self.ids).ok()?,
            BASE64.decode(&self.leaves).ok()?,
        );
        Batch::from_bytes(&ids, &leaves)
    }
}

impl EntryLine<'_> {
    /// Whether a number in it was read as a float.
    pub(crate) fn has_float(&self) -> bool {
        let record = &self.record;
        let maps = [
            &record.meta,
            &record.context,
            &record.personal,
            &record.commitments,
        ];
        maps.into_iter().any(|map| has_float(&map.0))
    }

    /// The entry; `None` if a part of it has no meaning, or its two times contradict each other.
    pub(crate) fn into_entry(self) -> Option<(Record, SealedAs)> {
        let line = self.record;
        let time = |text: &str| Some(DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc));
        let stored = SealedAs {
            created_at: time(&line.created_at)?,
            transaction: self.transaction.parse().ok()?,
        };
        let record = Record {
            id: line.id,
            tenant: line.tenant_id,
            actor: RecordedActor {
                kind: line.actor.kind,
                id: line.actor.id,
                user: line.actor.user_id,
                on_behalf_of: line.actor.on_behalf_of,
            },
            action: line.action,
            resource: line.resource,
            outcome: line.outcome,
            targets: line.targets.into_iter().map(|target| target.0).collect(),
            context: line.context.0,
            personal: line.personal.0,
            commitments: line.commitments.0,
            request: line.request_id,
            meta: line.meta.0,
            redacted: line.redacted,
            truncated: line.truncated,
            schema_version: line.schema_version,
            content_hash: BASE64.decode(&*line.content_hash).ok()?.try_into().ok()?,
            damaged: Vec::new(),
            shown: Vec::new(),
        };
        (record.occurred_at() == time(&line.occurred_at)?).then_some((record, stored))
    }
}

fn unwritable() -> Error {
    let message = "an entry can't be written as JSON";
    Error::new(ErrorKind::Internal, "audit_row_unreadable", message)
}
