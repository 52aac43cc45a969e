//! Details about a person: kept apart, hashed by commitment, so that they can be erased.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Map, Value};
use tenancy_core::TenantId;

use super::{
    canonical::Encoder,
    entry::AuditEntryId,
    erasure::ERASED,
    sealed_personal::{SEALED, is_sealed, sealed},
    verdict::Change,
};

/// How many random bytes hide a value in its commitment: an address can't be guessed from it.
pub(crate) const SALT_LEN: usize = 16;

/// The names under which the origin's details are kept.
pub(crate) const ORIGIN_DETAILS: [&str; 2] = ["ip", "user_agent"];

const DOMAIN: &str = "tenancy.audit.commitment.v1";

/// Personal details of one entry, as the columns `personal` and `commitments` hold them.
#[derive(Debug)]
pub(crate) struct Personal {
    tenant: TenantId,
    entry: AuditEntryId,
    pub(crate) values: Map<String, Value>,
    pub(crate) commitments: Map<String, Value>,
}

impl Personal {
    pub(crate) fn new(tenant: TenantId, entry: AuditEntryId) -> Self {
        Self {
            tenant,
            entry,
            values: Map::new(),
            commitments: Map::new(),
        }
    }

    /// Adds a detail under a salt that is used once.
    pub(crate) fn add(&mut self, name: &str, value: Value, salt: [u8; SALT_LEN]) {
        let commitment = commitment(self.tenant, self.entry, name, &salt, &value);
        let pair = Value::from(vec![Value::from(BASE64.encode(salt)), value]);
        self.values.insert(name.to_owned(), pair);
        self.commitments
            .insert(name.to_owned(), BASE64.encode(commitment).into());
    }
}

/// The detail under a name, unless it was erased.
pub(crate) fn value<'a>(values: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    values.get(name)?.get(1)
}

/// Compares the details that are left with their commitments; answers the names of those that were
/// recorded and are gone, and of those that were left out when the entry was recorded.
pub(crate) fn gone(
    tenant: TenantId,
    entry: AuditEntryId,
    values: &Map<String, Value>,
    commitments: &Map<String, Value>,
) -> Result<(Vec<String>, Vec<String>), Change> {
    let sealed = sealed(tenant, entry, values, commitments)?;
    if let Some(name) = sealed.iter().find(|name| values.contains_key(*name)) {
        // In clear beside what seals it.
        return Err(Change::Personal(name.clone()));
    }
    for (name, pair) in values.iter().filter(|(name, _)| !name.starts_with(SEALED)) {
        let salt = pair
            .get(0)
            .and_then(Value::as_str)
            .and_then(|salt| BASE64.decode(salt).ok());
        let (Some(salt), Some(value)) = (salt, pair.get(1)) else {
            return Err(Change::Personal(name.clone()));
        };
        let expected = BASE64.encode(commitment(tenant, entry, name, &salt, value));
        if commitments.get(name).and_then(Value::as_str) != Some(&expected) {
            return Err(Change::Personal(name.clone()));
        }
    }
    let left_out: Vec<&str> = commitments
        .get(ERASED)
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    Ok(commitments
        .keys()
        .filter(|name| !name.starts_with(SEALED))
        .filter(|name| !values.contains_key(*name) && !sealed.contains(name))
        .cloned()
        .partition(|name| !left_out.contains(&name.as_str())))
}

/// The key of a sealed text that was recorded and is not there.
pub(crate) fn opened<'a>(
    values: &Map<String, Value>,
    commitments: &'a Map<String, Value>,
) -> Option<&'a String> {
    let mut keys = commitments.keys().filter(|key| is_sealed(key));
    keys.find(|key| !values.contains_key(*key))
}

/// Begins the bytes of a detail's commitment; the value follows.
pub(crate) fn begin_commitment(
    encoder: &mut Encoder,
    (tenant, entry): (TenantId, AuditEntryId),
    name: &str,
    salt: &[u8],
) {
    encoder.restart(DOMAIN);
    encoder.bytes(tenant.as_uuid().as_bytes());
    encoder.bytes(entry.as_uuid().as_bytes());
    encoder.text(name);
    encoder.bytes(salt);
}

fn commitment(
    tenant: TenantId,
    entry: AuditEntryId,
    name: &str,
    salt: &[u8],
    value: &Value,
) -> [u8; 32] {
    let mut encoder = Encoder::scratch();
    begin_commitment(&mut encoder, (tenant, entry), name, salt);
    encoder.json(value);
    encoder.sha256()
}
