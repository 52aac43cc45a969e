//! Proofs that can be handed out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    bytes::hashes_text,
    key::SealKeys,
    leaf::{Leaf, SealedAs},
    sealed::{Seal, SealHead},
};
use crate::{
    Record,
    merkle::{self, Hash},
    model::object,
};

/// Proves that an entry is in a seal: everything that has to be known beside the entry and the key.
///
/// The path is a Merkle audit path (RFC 6962, section 2.1.1) in the tree over the seal's entries, whose root the
/// seal signs for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct InclusionProof {
    /// The entry's place in the seal, from 0.
    pub index: u32,
    /// The nodes from the entry to the seal's root.
    #[serde(with = "hashes_text")]
    pub path: Vec<Hash>,
    /// When the entry was stored, by the database's clock, to the microsecond.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub created_at: DateTime<Utc>,
    /// The transaction that wrote it.
    pub transaction: u64,
    /// The seal.
    #[serde(deserialize_with = "object")]
    pub seal: Seal,
}

/// Proves that what was sealed earlier is still the beginning of the log.
///
/// The path is a Merkle consistency proof (RFC 6962, section 2.1.2) between two sizes of the tree over all seals.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConsistencyProof {
    /// The earlier state.
    #[serde(deserialize_with = "object")]
    pub from: SealHead,
    /// The later state.
    #[serde(deserialize_with = "object")]
    pub to: SealHead,
    /// The nodes that lead from one to the other.
    #[serde(with = "hashes_text")]
    pub path: Vec<Hash>,
}

impl InclusionProof {
    /// Whether it proves that this entry, as it is, was sealed under one of these keys. It says nothing about
    /// personal details that are gone: see [`Record::verify_with`].
    pub fn verify(&self, record: &Record, keys: &SealKeys) -> bool {
        let (seal, head) = (&self.seal, self.seal.head());
        let stored = SealedAs {
            created_at: self.created_at,
            transaction: self.transaction,
        };
        let leaf = Leaf::of(record, stored).hash(seal.tenant);
        let (index, size) = (self.index.into(), seal.count.into());
        record.tenant == seal.tenant
            && record.is_as_hashed()
            && merkle::verify_inclusion(&leaf, index, size, &self.path, &seal.root)
            && head.is_signed(keys) == Some(true)
    }

    /// The entry's place among all of the tenant's, from 1.
    pub fn place(&self) -> u64 {
        self.seal.first.saturating_add(self.index.into())
    }
}

impl ConsistencyProof {
    /// Whether it proves, under these keys, that nothing of the earlier state was changed or taken away.
    pub fn verify(&self, keys: &SealKeys) -> bool {
        let signed = |head: &SealHead| head.is_signed(keys) == Some(true);
        let state = |head: &SealHead| (head.number, head.log_root);
        let ((before, old), (after, new)) = (state(&self.from), state(&self.to));
        self.from.tenant == self.to.tenant
            && signed(&self.from)
            && signed(&self.to)
            && merkle::verify_consistency((before, &old), (after, &new), &self.path)
    }
}
