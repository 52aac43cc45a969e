//! That a log was adopted after it came into another cluster, signed.

use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};
use tenancy_core::TenantId;
use uuid::Uuid;

use super::{
    bytes::{SealSignature, hash_text},
    key::SealKeys,
    removal::Removal,
};
use crate::{merkle::Hash, model::canonical::Encoder};

/// Says that a tenant's log was adopted by an operator, after a restore or an upgrade: where it stood then, and
/// which seals that an anchor knew did not come along. They are lost, and that is told; without an adoption they
/// count as taken away. Of more than 10,000 that are lost there are several of one time, which together are one adoption.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adoption {
    /// The adoption.
    pub(crate) id: Uuid,
    /// The tenant.
    #[serde(rename = "tenant_id")]
    pub(crate) tenant: TenantId,
    /// How many seals there were.
    pub(crate) number: u64,
    /// How many entries.
    pub(crate) entries: u64,
    /// How many entries were sealed with it; none with a further one that names more of the lost. Transactions of two
    /// clusters can't be compared: that these stand in the order in which they were written is not proved.
    pub(crate) loose: u64,
    /// The seals that are lost.
    pub(crate) lost: Vec<LostSeal>,
    /// Why.
    pub(crate) reason: String,
    /// When.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub(crate) adopted_at: DateTime<Utc>,
    /// The name of the key it is signed with.
    pub(crate) key: String,
    /// The signature.
    pub(crate) signature: SealSignature,
}

/// A seal that an anchor knew and that did not come along.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LostSeal {
    /// Its number.
    pub(crate) number: u64,
    /// Its hash.
    #[serde(with = "hash_text")]
    pub(crate) seal: Hash,
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
        (reason, at): (&str, DateTime<Utc>),
        key: &str,
    ) -> (Self, Vec<u8>) {
        let adoption = Self {
            id: Uuid::now_v7(),
            tenant,
            number,
            entries,
            loose,
            lost,
            reason: reason.to_owned(),
            adopted_at: at.trunc_subsecs(6),
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

/// Where a log stood when it was adopted, each time.
#[derive(Debug, Default)]
pub(crate) struct Ends(Vec<(DateTime<Utc>, u64)>);

impl Ends {
    pub(crate) fn add(&mut self, adoption: &Adoption) {
        self.0.push((adoption.adopted_at, adoption.entries));
    }

    /// When it was adopted last.
    pub(crate) fn newest(&self) -> Option<DateTime<Utc>> {
        self.0.iter().map(|(at, _)| *at).max()
    }

    /// Of the places that a removal names those that were removed of this log: one of before an adoption knew nothing
    /// of entries that were sealed since, which may stand where lost ones stood.
    pub(crate) fn removed(&self, removal: &Removal) -> impl Iterator<Item = (u64, u64)> {
        let later = self.0.iter().filter(|(at, _)| *at >= removal.removed_at);
        let end = later.map(|(_, entries)| *entries).min().unwrap_or(u64::MAX);
        let ranges = removal.ranges.iter();
        ranges.filter_map(move |(first, last)| (*first <= end).then_some((*first, end.min(*last))))
    }
}
