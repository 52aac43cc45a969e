//! That a log was adopted after it came into another cluster, signed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenancy_core::TenantId;
use uuid::Uuid;

use super::{
    bytes::{SealSignature, hash_text},
    key::SealKeys,
};
use crate::{merkle::Hash, model::canonical::Encoder};

/// Says that a tenant's log was adopted by an operator, after a restore or an upgrade: where it stood then, and
/// which seals that an anchor knew did not come along. They are lost, and that is told; without an adoption they
/// count as taken away. Of more than 10,000 that are lost there are several, which together are one adoption.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Adoption {
    /// The adoption.
    pub id: Uuid,
    /// The tenant.
    #[serde(rename = "tenant_id")]
    pub tenant: TenantId,
    /// How many seals there were.
    pub number: u64,
    /// How many entries.
    pub entries: u64,
    /// How many entries were sealed with it; none with a further one that names more of the lost. Transactions of two
    /// clusters can't be compared: that these stand in the order in which they were written is not proved.
    pub loose: u64,
    /// The seals that are lost.
    pub lost: Vec<LostSeal>,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub adopted_at: DateTime<Utc>,
    /// The name of the key it is signed with.
    pub key: String,
    /// The signature.
    pub signature: SealSignature,
}

/// A seal that an anchor knew and that did not come along.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LostSeal {
    /// Its number.
    pub number: u64,
    /// Its hash.
    #[serde(with = "hash_text")]
    pub seal: Hash,
}

impl LostSeal {
    pub(crate) fn new(number: u64, seal: Hash) -> Self {
        Self { number, seal }
    }
}

impl Adoption {
    /// An adoption, which lacks its signature, and the bytes to sign.
    pub(crate) fn new(
        tenant: TenantId,
        (number, entries, loose): (u64, u64, u64),
        lost: Vec<LostSeal>,
        reason: &str,
        key: &str,
    ) -> (Self, Vec<u8>) {
        let at = Utc::now().timestamp_micros();
        let adoption = Self {
            id: Uuid::now_v7(),
            tenant,
            number,
            entries,
            loose,
            lost,
            reason: reason.to_owned(),
            adopted_at: DateTime::from_timestamp_micros(at).unwrap_or_default(),
            key: key.to_owned(),
            signature: SealSignature([0; 64]),
        };
        let bytes = adoption.to_sign();
        (adoption, bytes)
    }

    pub(super) fn to_sign(&self) -> Vec<u8> {
        let mut encoder = Encoder::new("tenancy.audit.adoption.v1");
        encoder.bytes(self.id.as_bytes());
        encoder.bytes(self.tenant.as_uuid().as_bytes());
        for number in [self.number, self.entries, self.loose] {
            encoder.bytes(&number.to_be_bytes());
        }
        encoder.text(&self.reason);
        encoder.bytes(&self.adopted_at.timestamp_micros().to_be_bytes());
        encoder.text(&self.key);
        encoder.count(self.lost.len());
        for lost in &self.lost {
            encoder.bytes(&lost.number.to_be_bytes());
            encoder.bytes(&lost.seal);
        }
        encoder.into_bytes()
    }

    /// Whether the key that it names signed it, for this tenant; `None` if there is no such key.
    pub(crate) fn is_signed(&self, tenant: TenantId, keys: &SealKeys) -> Option<bool> {
        let signed = keys.verify(&self.key, &self.to_sign(), &self.signature)?;
        Some(signed && self.tenant == tenant)
    }
}
