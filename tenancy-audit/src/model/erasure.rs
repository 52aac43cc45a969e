//! What was erased of an entry on purpose, signed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenancy_core::TenantId;

use super::{
    canonical::Encoder,
    entry::AuditEntryId,
    seal::{SealKeys, SealSignature},
    verdict::Change,
};

/// The key of the column `personal` under which an entry's erasures stand, and the key of the
/// commitments under which the names stand of which nothing was ever recorded.
pub(crate) const ERASED: &str = "*erased";

/// Says that personal details of an entry were erased, which, when and why. It stands beside the
/// details that are left, and is signed with a seal key: details that are gone without it were stripped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Erasure {
    /// The names of the details.
    pub names: Vec<String>,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub erased_at: DateTime<Utc>,
    /// The name of the key it is signed with.
    pub key: String,
    /// The signature.
    pub signature: SealSignature,
}

impl Erasure {
    /// An erasure, which lacks its signature.
    pub(crate) fn new(names: Vec<String>, reason: &str, key: &str) -> Self {
        let at = Utc::now().timestamp_micros();
        Self {
            names,
            reason: reason.to_owned(),
            erased_at: DateTime::from_timestamp_micros(at).unwrap_or_default(),
            key: key.to_owned(),
            signature: SealSignature::from_bytes([0; 64]),
        }
    }

    /// The bytes that are signed; they name the entry, so that an erasure can't be moved.
    pub(crate) fn to_sign(&self, tenant: TenantId, entry: AuditEntryId) -> Vec<u8> {
        let mut encoder = Encoder::new("tenancy.audit.erasure.v1");
        encoder.bytes(tenant.as_uuid().as_bytes());
        encoder.bytes(entry.as_uuid().as_bytes());
        encoder.text(&self.reason);
        encoder.bytes(&self.erased_at.timestamp_micros().to_be_bytes());
        encoder.text(&self.key);
        encoder.count(self.names.len());
        for name in &self.names {
            encoder.text(name);
        }
        encoder.into_bytes()
    }

    pub(crate) fn is_signed(&self, of: (TenantId, AuditEntryId), keys: &SealKeys) -> bool {
        keys.verify(&self.key, &self.to_sign(of.0, of.1), &self.signature) == Some(true)
    }

    /// Those that stand in the column `personal`.
    pub(crate) fn all(personal: &Map<String, Value>) -> Result<Vec<Self>, Change> {
        let Some(value) = personal.get(ERASED) else {
            return Ok(Vec::new());
        };
        serde_json::from_value(value.clone()).map_err(|_| changed())
    }

    /// The same, if erasing leaves such a list: there is one only where something was erased, each erasure names
    /// details, each detail goes once, and what went was recorded before and is not there again.
    pub(crate) fn left(
        personal: &Map<String, Value>,
        commitments: &Map<String, Value>,
    ) -> Result<Vec<Self>, Change> {
        let all = Self::all(personal)?;
        if all.is_empty() && personal.contains_key(ERASED) {
            return Err(changed());
        }
        let mut named = BTreeSet::new();
        for erasure in &all {
            let went =
                |name: &String| commitments.contains_key(name) && !personal.contains_key(name);
            let once = |name| named.insert(name);
            if erasure.names.is_empty()
                || !erasure.names.iter().all(went)
                || !erasure.names.iter().all(once)
            {
                return Err(changed());
            }
        }
        Ok(all)
    }
}

fn changed() -> Change {
    Change::Personal(ERASED.to_owned())
}
