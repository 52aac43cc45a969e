//! An entry of the log.

use std::{fmt, ops::Deref};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tenancy_core::{Origin, Outcome, RequestId, Target, TenantId, UserId};

use super::{
    canonical::Encoder,
    erasure::{ERASED, Erasure},
    personal,
    seal::SealKeys,
    verdict::{Change, Verdict},
};

tenancy_core::uuid_id! {
    /// Identifies an audit entry. A uuid v7: it says when the entry was made, by the writer's clock.
    pub struct AuditEntryId;
}

impl AuditEntryId {
    /// When the entry was made, by the writer's clock, to the millisecond.
    pub(crate) fn made_at(self) -> DateTime<Utc> {
        let millis = self.as_uuid().as_u128() >> 80;
        i64::try_from(millis)
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default()
    }
}

/// The shape of entries that this version writes, and the bytes it hashes.
pub(crate) const SCHEMA_VERSION: i16 = 1;

pub(super) const DOMAIN: &str = "tenancy.audit.entry";

/// Who acted, as the entry keeps it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct RecordedActor {
    /// `user`, `service` or `api_key`.
    pub kind: String,
    /// The user's or key's uuid, or the service's name.
    pub id: String,
    /// The user, where a user acted.
    pub user: Option<UserId>,
    /// For whom he acted: the user whom support impersonated, or whom a service worked for.
    pub on_behalf_of: Option<UserId>,
}

/// An entry as it was written: checked, redacted, and hashed.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The entry.
    pub id: AuditEntryId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Who acted.
    pub actor: RecordedActor,
    /// What was done, such as `template.updated`.
    pub action: String,
    /// The first target as `kind:id`.
    pub resource: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it was done to.
    pub targets: Vec<Target>,
    /// Where it came from, without what says something about a person.
    pub context: Map<String, Value>,
    /// Details about a person, each as `[salt, value]`; an erased one is gone.
    pub personal: Map<String, Value>,
    /// The commitment of each personal detail that was written.
    pub commitments: Map<String, Value>,
    /// The request it belongs to.
    pub request: Option<RequestId>,
    /// Anything else.
    pub meta: Map<String, Value>,
    /// Whether something was replaced because it looked like a secret.
    pub redacted: bool,
    /// Whether something was cut off, or replaced because the database can't hold it.
    pub truncated: bool,
    /// The shape of the entry and the bytes that were hashed.
    pub schema_version: i16,
    /// SHA-256 of the entry's canonical bytes, as stored.
    pub content_hash: [u8; 32],
    /// The names of parts that can't be read, and stand here as if they were empty. An entry that is as it
    /// was written has none.
    pub damaged: Vec<String>,
    /// Names of sealed details of which an entry of the log shows that they were erased.
    pub(crate) shown: Vec<String>,
}

impl RecordedActor {
    /// For stores: an actor of whom only this is known, to be completed with what was kept.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            id: id.into(),
            user: None,
            on_behalf_of: None,
        }
    }
}

impl Record {
    /// For stores: a record that says nothing else, to be completed with what was kept of one. It
    /// [verifies](Self::verify) when every field is as it was.
    ///
    /// ```
    /// use tenancy_audit::{AuditEntryId, Record, RecordedActor};
    /// use tenancy_core::{TenantId, UserId};
    ///
    /// let user = UserId::new();
    /// let mut actor = RecordedActor::new("user", user.to_string());
    /// actor.user = Some(user);
    /// let mut record = Record::new(AuditEntryId::new(), TenantId::new(), actor, "template.updated");
    /// record.resource = Some("template:7".to_owned());
    /// assert!(!record.verify().is_intact());
    /// record.content_hash = record.hash(); // of a store: as it was kept
    /// assert!(record.verify().is_intact());
    /// ```
    pub fn new(
        id: AuditEntryId,
        tenant: TenantId,
        actor: RecordedActor,
        action: impl Into<String>,
    ) -> Self {
        Self {
            id,
            tenant,
            actor,
            action: action.into(),
            resource: None,
            outcome: Outcome::default(),
            targets: Vec::new(),
            context: Map::new(),
            personal: Map::new(),
            commitments: Map::new(),
            request: None,
            meta: Map::new(),
            redacted: false,
            truncated: false,
            schema_version: SCHEMA_VERSION,
            content_hash: [0; 32],
            damaged: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// When the entry was made, by the writer's clock, to the millisecond.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        self.id.made_at()
    }

    /// Where it came from; what was erased, or is sealed, is missing.
    pub fn origin(&self) -> Origin {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(ToOwned::to_owned);
        let mut origin = Origin::default();
        origin.ip = text(personal::value(&self.personal, "ip"));
        origin.user_agent = text(personal::value(&self.personal, "user_agent"));
        origin.trace_id = text(self.context.get("trace_id"));
        origin
    }

    /// A detail about a person; `None` where there was none, it is sealed, or it was erased.
    pub fn personal_detail(&self, name: &str) -> Option<&Value> {
        personal::value(&self.personal, name)
    }

    /// SHA-256 of the entry's canonical bytes, from the entry as it is now.
    ///
    /// Personal details enter by their commitments. `created_at` and the transaction's id are not
    /// part of it: the database adds them after the hash is made.
    pub fn hash(&self) -> [u8; 32] {
        let mut encoder = Encoder::new(DOMAIN);
        encoder.bytes(&self.schema_version.to_be_bytes());
        encoder.bytes(self.tenant.as_uuid().as_bytes());
        encoder.bytes(self.id.as_uuid().as_bytes());
        encoder.text(&self.actor.kind);
        encoder.text(&self.actor.id);
        encoder.uuid(self.actor.user.map(UserId::as_uuid));
        encoder.uuid(self.actor.on_behalf_of.map(UserId::as_uuid));
        encoder.text(&self.action);
        encoder.option(self.resource.as_deref().map(str::as_bytes));
        encoder.text(self.outcome.as_str());
        put_targets(&mut encoder, &self.targets);
        encoder.object(&self.context);
        encoder.object(&self.commitments);
        encoder.uuid(self.request.map(RequestId::as_uuid));
        encoder.object(&self.meta);
        encoder.flag(self.redacted);
        encoder.flag(self.truncated);
        encoder.sha256()
    }

    /// Whether the entry is the one that was written.
    ///
    /// This finds a part that was changed. That nobody changed an entry together with its hash,
    /// or removed one, is what seals prove. Details that are gone count as changed, unless
    /// [`AuditLog::reveal`](crate::AuditLog::reveal) found that they were erased; whether an operator
    /// erased them is seen by [`verify_with`](Self::verify_with).
    pub fn verify(&self) -> Verdict {
        self.verdict(None)
    }

    /// The same, with the keys that erasures may be signed with: see [`Erasure`].
    pub fn verify_with(&self, keys: &SealKeys) -> Verdict {
        self.verdict(Some(keys))
    }

    /// The same of an entry as it is stored: there nobody has opened what is sealed, so that details in clear in
    /// place of a sealed text were put there.
    pub(crate) fn verify_stored(&self, keys: Option<&SealKeys>) -> Verdict {
        let verdict = self.verdict(keys);
        match personal::opened(&self.personal, &self.commitments) {
            Some(key) if verdict.is_intact() => Verdict::Changed(Change::Personal(key.clone())),
            _ => verdict,
        }
    }

    /// Whether what is there is what was hashed, whatever became of details that are gone.
    pub(crate) fn is_as_hashed(&self) -> bool {
        matches!(
            self.verify(),
            Verdict::Intact | Verdict::Erased(_) | Verdict::Changed(Change::Stripped(_))
        )
    }

    /// The erasures that stand beside the details, signed or not.
    pub fn erasures(&self) -> Vec<Erasure> {
        Erasure::all(&self.personal).unwrap_or_default()
    }

    fn verdict(&self, keys: Option<&SealKeys>) -> Verdict {
        if let Some(part) = self.damaged.first() {
            return Verdict::Changed(Change::Unreadable(part.clone()));
        }
        if self.schema_version != SCHEMA_VERSION {
            return Verdict::Changed(Change::SchemaVersion(self.schema_version));
        }
        if self.hash() != self.content_hash {
            return Verdict::Changed(Change::Content);
        }
        let details = || {
            let (stripped, mut erased) =
                personal::gone(self.tenant, self.id, &self.personal, &self.commitments)?;
            let shown = self.shown_erased(keys)?;
            let (shown, stripped): (Vec<_>, Vec<_>) =
                stripped.into_iter().partition(|name| shown.contains(name));
            if !stripped.is_empty() {
                return Err(Change::Stripped(stripped));
            }
            erased.extend(shown);
            Ok(erased)
        };
        match details() {
            Err(change) => Verdict::Changed(change),
            Ok(erased) if erased.is_empty() => Verdict::Intact,
            Ok(erased) => Verdict::Erased(erased),
        }
    }

    /// The names of details of which something shows that they were erased. Without keys a signature
    /// shows nothing; with keys each has to hold.
    fn shown_erased(&self, keys: Option<&SealKeys>) -> Result<Vec<String>, Change> {
        let mut shown = self.shown.clone();
        for erasure in Erasure::left(&self.personal, &self.commitments)? {
            match keys {
                Some(keys) if erasure.is_signed((self.tenant, self.id), keys) => {
                    shown.extend(erasure.names);
                }
                Some(_) => return Err(Change::Personal(ERASED.to_owned())),
                None => {}
            }
        }
        Ok(shown)
    }
}

impl fmt::Debug for Record {
    /// Without the values of personal details, which may be in clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("actor", &self.actor)
            .field("action", &self.action)
            .field("outcome", &self.outcome)
            .field("targets", &self.targets)
            .field("context", &self.context)
            .field("personal", &self.personal.keys())
            .field("request", &self.request)
            .field("meta", &self.meta)
            .field("damaged", &self.damaged)
            .finish_non_exhaustive()
    }
}

/// A stored entry: the record, and when the database took it in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    record: Record,
    /// When it was stored, by the database's clock.
    pub created_at: DateTime<Utc>,
}

impl Entry {
    /// For stores: a record with the time at which it was stored.
    pub fn new(record: Record, created_at: DateTime<Utc>) -> Self {
        Self { record, created_at }
    }

    /// The record alone.
    pub fn into_record(self) -> Record {
        self.record
    }
}

impl Deref for Entry {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

/// The first target as the column `resource` holds it.
pub(crate) fn resource_of(targets: &[Target]) -> Option<String> {
    targets
        .first()
        .map(|target| format!("{}:{}", target.kind, target.id))
}

/// The bytes of [`targets_json`], without the value.
pub(super) fn put_targets(encoder: &mut Encoder, targets: &[Target]) {
    let list = encoder.array_begins();
    for target in targets {
        let object = encoder.object_begins();
        for (key, text) in [("id", &target.id), ("kind", &target.kind)] {
            encoder.text(key);
            encoder.string(text);
        }
        encoder.counted(object, 2);
    }
    encoder.counted(list, targets.len());
}

pub(crate) fn targets_json(targets: &[Target]) -> Value {
    targets
        .iter()
        .map(|target| json!({ "kind": target.kind, "id": target.id }))
        .collect()
}

#[cfg(test)]
mod tests;
