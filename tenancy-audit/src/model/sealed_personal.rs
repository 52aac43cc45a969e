//! Personal details that are sealed under their subject's key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Map, Value, json};
use tenancy_core::{SealedText, Subject, TenantId};
use uuid::Uuid;

use super::{canonical::Encoder, entry::AuditEntryId, erasure::ERASED, verdict::Change};

const DOMAIN: &str = "tenancy.audit.sealed.v1";

/// Keys that begin with it hold sealed details; no detail has such a name.
pub(crate) const SEALED: char = '*';

/// Details of one subject: what the column `personal` holds in place of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SealedDetails {
    pub(crate) names: Vec<String>,
    pub(crate) subject: String,
    pub(crate) text: String,
}

impl SealedDetails {
    pub(crate) fn new(subject: &Subject, names: Vec<String>, sealed: &SealedText) -> Self {
        Self {
            names,
            subject: subject.as_str().to_owned(),
            text: sealed.as_str().to_owned(),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "names": self.names, "of": self.subject, "sealed": self.text })
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let text = |value: &Value| Some(value.as_str()?.to_owned());
        let fields = value.as_object().filter(|fields| fields.len() == 3)?;
        Some(Self {
            names: fields
                .get("names")?
                .as_array()?
                .iter()
                .map(text)
                .collect::<Option<_>>()?,
            subject: text(fields.get("of")?)?,
            text: text(fields.get("sealed")?)?,
        })
    }

    /// What keeps the sealed text from being replaced.
    pub(crate) fn commitment(&self, tenant: TenantId, entry: AuditEntryId, key: &str) -> String {
        let mut encoder = Encoder::new(DOMAIN);
        encoder.bytes(tenant.as_uuid().as_bytes());
        encoder.bytes(entry.as_uuid().as_bytes());
        encoder.text(key);
        encoder.text(&self.subject);
        encoder.count(self.names.len());
        for name in &self.names {
            encoder.text(name);
        }
        encoder.text(&self.text);
        BASE64.encode(encoder.sha256())
    }
}

/// Whether a key of the column `personal` holds sealed details.
pub(crate) fn is_sealed(key: &str) -> bool {
    key.starts_with(SEALED) && key != ERASED
}

/// The names of details that are sealed, after a look whether what seals them is as it was written.
pub(crate) fn sealed(
    tenant: TenantId,
    entry: AuditEntryId,
    values: &Map<String, Value>,
    commitments: &Map<String, Value>,
) -> Result<Vec<String>, Change> {
    let mut names = Vec::new();
    for (key, value) in values.iter().filter(|(key, _)| is_sealed(key)) {
        let changed = || Change::Personal(key.clone());
        let details = SealedDetails::from_json(value).ok_or_else(changed)?;
        let expected = details.commitment(tenant, entry, key);
        if commitments.get(key).and_then(Value::as_str) != Some(&expected) {
            return Err(changed());
        }
        names.extend(details.names);
    }
    Ok(names)
}

/// What names a subject in an entry that shows its erasure: the name itself stays out of it.
pub(crate) fn subject_hash(tenant: TenantId, subject: &Subject) -> Uuid {
    let mut encoder = Encoder::new("tenancy.audit.subject.v1");
    encoder.bytes(tenant.as_uuid().as_bytes());
    encoder.text(subject.as_str());
    let hash = encoder.sha256();
    Uuid::from_bytes(std::array::from_fn(|at| {
        hash.get(at).copied().unwrap_or_default()
    }))
}
