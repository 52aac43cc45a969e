//! A seal: a signed batch of entries, linked to the ones before it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenancy_core::TenantId;
use uuid::Uuid;

use super::{
    bytes::{SealSignature, hash_text},
    key::SealKeys,
    leaf::Leaf,
};
use crate::{
    merkle::{self, Frontier, Hash},
    model::canonical::Encoder,
};

/// The most entries of one seal.
pub(crate) const MAX_SEALED: usize = 1_024;

/// A signed batch of a tenant's entries.
///
/// Seals of a tenant are numbered from 1 without a gap, and so are the entries in them. Each holds the
/// root of the Merkle tree over its entries, the hash of the seal before it, and the root of the tree
/// over all seals up to it: the tenant's log.
///
/// Both trees are those of RFC 6962, section 2.1, over SHA-256; the signature is Ed25519 (RFC 8032) over the
/// seal's [head](Self::head).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Seal {
    /// The tenant.
    #[serde(rename = "tenant_id")]
    pub tenant: TenantId,
    /// Its place among the tenant's seals, from 1.
    pub number: u64,
    /// The place of its first entry among all of the tenant's, from 1.
    pub first: u64,
    /// How many entries it holds.
    pub count: u32,
    /// The root over its entries.
    #[serde(with = "hash_text")]
    pub root: Hash,
    /// The hash of its entries' ids, in their order.
    #[serde(with = "hash_text")]
    pub ids_hash: Hash,
    /// The hash of the seal before it; zeros before the first.
    #[serde(with = "hash_text")]
    pub previous: Hash,
    /// When it was made, by the sealer's clock.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub sealed_at: DateTime<Utc>,
    /// The root over all seals up to this one.
    #[serde(with = "hash_text")]
    pub log_root: Hash,
    /// The name of the key it is signed with.
    pub key: String,
    /// The signature.
    pub signature: SealSignature,
}

/// The newest seal that somebody saw, as an anchor keeps it: what a log has to go on from.
///
/// It is what RFC 6962, section 3.5, calls a signed tree head, and others a checkpoint: how many leaves the tree
/// over all seals has, its root, and a signature, here Ed25519 (RFC 8032). It also names how many entries there
/// are and the hash of the newest seal, in bytes of its own and not in those of RFC 6962.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SealHead {
    /// The tenant.
    #[serde(rename = "tenant_id")]
    pub tenant: TenantId,
    /// How many seals there were.
    pub number: u64,
    /// How many entries.
    pub entries: u64,
    /// The hash of the newest seal.
    #[serde(with = "hash_text")]
    pub seal: Hash,
    /// The root over all seals.
    #[serde(with = "hash_text")]
    pub log_root: Hash,
    /// The name of the key it is signed with.
    pub key: String,
    /// The signature, which is also the newest seal's.
    pub signature: SealSignature,
}

impl Seal {
    /// What a leaf of the tree over the seals is: everything but the signature and that tree's root.
    pub fn hash(&self) -> Hash {
        let mut encoder = Encoder::new("tenancy.audit.seal.v1");
        encoder.bytes(self.tenant.as_uuid().as_bytes());
        encoder.bytes(&self.number.to_be_bytes());
        encoder.bytes(&self.first.to_be_bytes());
        encoder.bytes(&self.count.to_be_bytes());
        encoder.bytes(&self.root);
        encoder.bytes(&self.ids_hash);
        encoder.bytes(&self.previous);
        encoder.bytes(&self.sealed_at.timestamp_micros().to_be_bytes());
        merkle::leaf_hash(encoder.as_slice())
    }

    /// The log as it stood with this seal.
    pub fn head(&self) -> SealHead {
        SealHead {
            tenant: self.tenant,
            number: self.number,
            entries: self.next().saturating_sub(1),
            seal: self.hash(),
            log_root: self.log_root,
            key: self.key.clone(),
            signature: self.signature,
        }
    }

    /// Whether this is what it holds.
    pub(crate) fn holds(&self, batch: &Batch) -> bool {
        batch.leaves.len() as u64 == u64::from(self.count)
            && merkle::root(&batch.leaves) == self.root
            && batch.ids_hash() == self.ids_hash
    }

    /// The place of the first entry behind it.
    pub(crate) fn next(&self) -> u64 {
        self.first.saturating_add(self.count.into())
    }
}

impl SealHead {
    /// Whether the key that it names signed it; `None` if there is no such key.
    pub(crate) fn is_signed(&self, keys: &SealKeys) -> Option<bool> {
        keys.verify(&self.key, &self.to_sign(), &self.signature)
    }

    /// The bytes that are signed.
    pub(crate) fn to_sign(&self) -> Vec<u8> {
        let mut encoder = Encoder::new("tenancy.audit.head.v1");
        encoder.bytes(self.tenant.as_uuid().as_bytes());
        encoder.bytes(&self.number.to_be_bytes());
        encoder.bytes(&self.entries.to_be_bytes());
        encoder.bytes(&self.seal);
        encoder.bytes(&self.log_root);
        encoder.text(&self.key);
        encoder.into_bytes()
    }
}

/// The entries of a seal, in their order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Batch {
    pub(crate) ids: Vec<Uuid>,
    pub(crate) leaves: Vec<Hash>,
}

impl Batch {
    pub(crate) fn of(tenant: TenantId, entries: &[Leaf]) -> Self {
        Self {
            ids: entries.iter().map(|leaf| leaf.id).collect(),
            leaves: entries.iter().map(|leaf| leaf.hash(tenant)).collect(),
        }
    }

    /// As they are stored; `None` if they are not as many hashes as ids.
    pub(crate) fn from_bytes(ids: &[u8], leaves: &[u8]) -> Option<Self> {
        let ((ids, left), (leaves, over)) = (ids.as_chunks::<16>(), leaves.as_chunks::<32>());
        let fits = left.is_empty() && over.is_empty() && ids.len() == leaves.len();
        fits.then(|| Self {
            ids: ids.iter().copied().map(Uuid::from_bytes).collect(),
            leaves: leaves.to_vec(),
        })
    }

    pub(crate) fn ids_bytes(&self) -> Vec<u8> {
        self.ids.iter().flat_map(|id| *id.as_bytes()).collect()
    }

    pub(crate) fn ids_hash(&self) -> Hash {
        Sha256::digest(self.ids_bytes()).into()
    }
}

/// Where a tenant's next seal goes on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Chain {
    /// The hash of the newest seal.
    pub(crate) previous: Hash,
    /// How many entries are sealed.
    pub(crate) entries: u64,
    pub(crate) frontier: Frontier,
}

impl Chain {
    /// The next seal, which lacks its signature, and the bytes to sign.
    pub(crate) fn next(
        &mut self,
        tenant: TenantId,
        batch: &Batch,
        at: DateTime<Utc>,
        key: &str,
    ) -> (Seal, Vec<u8>) {
        let mut seal = Seal {
            tenant,
            number: self.frontier.size() + 1,
            first: self.entries + 1,
            count: u32::try_from(batch.leaves.len()).unwrap_or(u32::MAX),
            root: merkle::root(&batch.leaves),
            ids_hash: batch.ids_hash(),
            previous: self.previous,
            sealed_at: at,
            log_root: [0; 32],
            key: key.to_owned(),
            signature: SealSignature([0; 64]),
        };
        self.follow(&seal);
        seal.log_root = self.frontier.root();
        let bytes = seal.head().to_sign();
        (seal, bytes)
    }

    /// Goes on from this seal.
    pub(crate) fn follow(&mut self, seal: &Seal) {
        self.previous = seal.hash();
        self.entries = seal.next().saturating_sub(1);
        self.frontier.push(self.previous);
    }
}
