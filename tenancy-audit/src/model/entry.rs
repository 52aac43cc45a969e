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
mod tests {
    use super::*;
    use crate::model::Personal;

    fn uuid(text: &str) -> uuid::Uuid {
        text.parse().unwrap()
    }

    fn golden() -> Record {
        let tenant = TenantId::from_uuid(uuid("018f0000-0000-7000-8000-000000000001"));
        let id = AuditEntryId::from_uuid(uuid("018f0000-0001-7000-8000-000000000002"));
        let user = UserId::from_uuid(uuid("018f0000-0000-7000-8000-000000000003"));
        let mut personal = Personal::new(tenant, id);
        personal.add("ip", json!("192.0.2.7"), [7; 16]);
        let targets = vec![Target::new("template", 7), Target::new("user", user)];
        let mut record = Record {
            id,
            tenant,
            actor: RecordedActor {
                kind: "user".to_owned(),
                id: user.to_string(),
                user: Some(user),
                on_behalf_of: None,
            },
            action: "template.updated".to_owned(),
            resource: resource_of(&targets),
            outcome: Outcome::Allowed,
            targets,
            context: Map::from_iter([("trace_id".to_owned(), json!("4bf92f3577b34da6"))]),
            personal: personal.values,
            commitments: personal.commitments,
            request: Some(RequestId::from_uuid(uuid(
                "018f0000-0000-7000-8000-000000000004",
            ))),
            meta: Map::from_iter([("fields".to_owned(), json!(["name", 1.5, null, { "ä": -3 }]))]),
            redacted: false,
            truncated: false,
            schema_version: SCHEMA_VERSION,
            content_hash: [0; 32],
            damaged: Vec::new(),
            shown: Vec::new(),
        };
        record.content_hash = record.hash();
        record
    }

    #[test]
    fn the_hash_and_the_commitment_of_version_1_stay_as_they_are() {
        let record = golden();
        assert_eq!(
            record.commitments["ip"],
            "W4mTQscClqcx5vIzILhtG1DR-AgTktgiwsrQJbM9UCw"
        );
        assert_eq!(
            hex::encode(record.content_hash),
            "517ea980731643e7a8c1b77b38e49d9fb25bb5becdf89a063d8d937b3f9fd46c"
        );
        let mut bare = golden();
        bare.actor.user = None;
        bare.request = None;
        bare.targets.clear();
        bare.resource = None;
        assert_eq!(
            hex::encode(bare.hash()),
            "582fe0218bbab1fdc8b7c53ddbb729522122ab9ecf6416f97d31c4fba49569c4"
        );
    }

    #[test]
    fn a_change_of_any_part_is_found() {
        let changes: Vec<fn(&mut Record)> = vec![
            |r| r.id = AuditEntryId::new(),
            |r| r.tenant = TenantId::new(),
            |r| r.actor.kind = "service".to_owned(),
            |r| r.actor.id.push('x'),
            |r| r.actor.user = None,
            |r| r.actor.on_behalf_of = Some(UserId::new()),
            |r| r.action = "template.deleted".to_owned(),
            |r| r.resource = Some("template:8".to_owned()),
            |r| r.outcome = Outcome::Denied,
            |r| r.targets.swap(0, 1),
            |r| r.context.clear(),
            |r| drop(r.commitments.remove("ip")),
            |r| r.request = None,
            |r| drop(r.meta.insert("more".to_owned(), Value::Null)),
            |r| r.redacted = true,
            |r| r.truncated = true,
            |r| r.content_hash[31] ^= 1,
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut record = golden();
            change(&mut record);
            assert_eq!(
                record.verify(),
                Verdict::Changed(Change::Content),
                "change {at}"
            );
        }
        let mut newer = golden();
        newer.schema_version = 2;
        assert_eq!(newer.verify(), Verdict::Changed(Change::SchemaVersion(2)));
    }

    #[test]
    fn a_personal_detail_can_be_erased_but_not_replaced_or_stripped() {
        let mut record = golden();
        assert_eq!(record.verify(), Verdict::Intact);
        assert_eq!(record.origin().ip.as_deref(), Some("192.0.2.7"));

        record.personal["ip"][1] = json!("192.0.2.8");
        assert_eq!(
            record.verify(),
            Verdict::Changed(Change::Personal("ip".to_owned()))
        );

        record.personal.clear();
        let stripped = Verdict::Changed(Change::Stripped(vec!["ip".to_owned()]));
        assert_eq!(record.verify(), stripped);
        assert!(!stripped.is_intact() && record.is_as_hashed());
        assert_eq!(record.origin().ip, None);
        record.shown.push("ip".to_owned());
        assert_eq!(record.verify(), Verdict::Erased(vec!["ip".to_owned()]));
    }

    #[test]
    fn a_list_of_erasures_is_one_that_erasing_leaves_whether_or_not_it_is_signed() {
        let erasure = |names: &[&str]| {
            json!({
                "names": names, "reason": "x", "erased_at": 1, "key": "one", "signature": "A".repeat(86),
            })
        };
        let changed = Verdict::Changed(Change::Personal(ERASED.to_owned()));
        for (list, there) in [
            (json!([]), false),
            (json!([erasure(&[])]), false),
            (json!([erasure(&["ip"])]), true),
            (json!([erasure(&["ip", "ip"])]), false),
            (json!([erasure(&["ip"]), erasure(&["ip"])]), false),
            (json!([erasure(&["ip", "name"])]), false),
            (json!({}), false),
        ] {
            let mut record = golden();
            if !there {
                record.personal.clear();
            }
            record.personal.insert(ERASED.to_owned(), list.clone());
            assert_eq!(record.verify(), changed, "{list}");
        }
        let mut erased = golden();
        erased.personal = Map::from_iter([(ERASED.to_owned(), json!([erasure(&["ip"])]))]);
        let stripped = Verdict::Changed(Change::Stripped(vec!["ip".to_owned()]));
        assert_eq!(erased.verify(), stripped, "without keys it shows nothing");
    }

    #[test]
    fn debug_names_personal_details_and_does_not_show_them() {
        let shown = format!("{:?}", Entry::new(golden(), DateTime::default()));
        assert!(!shown.contains("192.0.2.7"), "{shown}");
        assert!(
            shown.contains("template.updated") && shown.contains("\"ip\""),
            "{shown}"
        );
    }

    #[test]
    fn the_id_says_when() {
        let millis = 0x018f_0000_0001;
        assert_eq!(golden().occurred_at().timestamp_millis(), millis);
    }
}
