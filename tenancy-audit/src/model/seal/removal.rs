//! What was removed on purpose, signed.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tenancy_core::TenantId;
use uuid::Uuid;

use super::{adoption::Ends, bytes::SealSignature, key::SealKeys};
use crate::model::canonical::Encoder;

/// The longest reason, in bytes.
pub(crate) const MAX_REASON: usize = 512;

/// Says that entries were removed, which, when and why. Their hashes stay in their seals, so that
/// everything else can still be verified.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Removal {
    /// The removal.
    pub(crate) id: Uuid,
    /// The tenant.
    #[serde(rename = "tenant_id")]
    pub(crate) tenant: TenantId,
    /// The entries' places: first and last of each stretch.
    pub(crate) ranges: Vec<(u64, u64)>,
    /// Why.
    pub(crate) reason: String,
    /// When.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub(crate) removed_at: DateTime<Utc>,
    /// The name of the key it is signed with.
    pub(crate) key: String,
    /// The signature.
    pub(crate) signature: SealSignature,
}

impl Removal {
    /// A removal, which lacks its signature, and the bytes to sign. It comes after what the log was adopted with,
    /// whatever the clock says.
    pub(crate) fn new(
        tenant: TenantId,
        ranges: &Ranges,
        (reason, adopted): (&str, &Ends),
        key: &str,
    ) -> (Self, Vec<u8>) {
        let after = adopted.newest();
        let after = after.and_then(|at| at.checked_add_signed(TimeDelta::microseconds(1)));
        let at = Utc::now().max(after.unwrap_or_default());
        let removal = Self {
            id: Uuid::now_v7(),
            tenant,
            ranges: ranges.0.clone(),
            reason: reason.to_owned(),
            removed_at: at.trunc_subsecs(6),
            key: key.to_owned(),
            signature: SealSignature([0; 64]),
        };
        let bytes = removal.to_sign();
        (removal, bytes)
    }

    pub(crate) fn to_sign(&self) -> Vec<u8> {
        let mut encoder = Encoder::new("tenancy.audit.removal.v1");
        encoder.bytes(self.id.as_bytes());
        encoder.bytes(self.tenant.as_uuid().as_bytes());
        encoder.text(&self.reason);
        encoder.bytes(&self.removed_at.timestamp_micros().to_be_bytes());
        encoder.text(&self.key);
        encoder.count(self.ranges.len());
        for (first, last) in &self.ranges {
            encoder.bytes(&first.to_be_bytes());
            encoder.bytes(&last.to_be_bytes());
        }
        encoder.into_bytes()
    }

    /// Whether the key that it names signed it, for this tenant; `None` if there is no such key.
    pub(crate) fn is_signed(&self, tenant: TenantId, keys: &SealKeys) -> Option<bool> {
        let signed = keys.verify(&self.key, &self.to_sign(), &self.signature)?;
        Some(signed && self.tenant == tenant)
    }
}

/// Places of entries, as stretches in their order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ranges(pub(crate) Vec<(u64, u64)>);

impl Ranges {
    /// Adds a place that lies behind all that are there.
    pub(crate) fn push(&mut self, place: u64) {
        match self.0.last_mut() {
            Some((_, last)) if place <= *last => {}
            Some((_, last)) if *last + 1 == place => *last = place,
            _ => self.0.push((place, place)),
        }
    }

    /// From stretches in any order.
    pub(crate) fn merged(mut all: Vec<(u64, u64)>) -> Self {
        all.retain(|(first, last)| first <= last);
        all.sort_unstable();
        let mut ranges = Self::default();
        for (first, last) in all {
            match ranges.0.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => ranges.0.push((first, last)),
            }
        }
        ranges
    }

    pub(crate) fn contains(&self, place: u64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= place);
        let before = after.checked_sub(1).and_then(|at| self.0.get(at));
        before.is_some_and(|(_, last)| place <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_to_stretches() {
        let mut ranges = Ranges::default();
        for place in [1, 2, 2, 3, 7, 9, 10] {
            ranges.push(place);
        }
        assert_eq!(ranges.0, [(1, 3), (7, 7), (9, 10)]);
        let merged = Ranges::merged(vec![(9, 12), (1, 3), (4, 5), (20, 19), (2, 2), (11, 30)]);
        assert_eq!(merged.0, [(1, 5), (9, 30)]);
        let inside: Vec<u64> = (0..12).filter(|place| merged.contains(*place)).collect();
        assert_eq!(inside, [1, 2, 3, 4, 5, 9, 10, 11]);
        assert!(!Ranges::default().contains(0));
    }
}
