//! What a seal says of one entry.

use chrono::{DateTime, Utc};
use tenancy_core::TenantId;
use uuid::Uuid;

use crate::{
    Record,
    merkle::{self, Hash},
};

const DOMAIN: &[u8; 21] = b"tenancy.audit.leaf.v1";
const LEAF_LEN: usize = 21 + 16 + 16 + 32 + 8 + 8;

/// The bytes of an entry as the database hands them to the sealer: id, content hash, the time in
/// microseconds since 2000, the transaction.
pub(crate) const LEAF_RECORD: usize = 16 + 32 + 8 + 8;

/// From the epoch of Postgres to that of Unix, in microseconds.
const SINCE_1970: i64 = 946_684_800_000_000;

/// What the database added to an entry when it took it in, and a seal binds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SealedAs {
    /// When it was stored, by the database's clock, to the microsecond.
    pub(crate) created_at: DateTime<Utc>,
    /// The number of the transaction that wrote it.
    pub(crate) transaction: u64,
}

/// The part of an entry that its leaf is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) id: Uuid,
    pub(crate) content_hash: Hash,
    /// In microseconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) transaction: u64,
}

impl Leaf {
    pub(crate) fn of(record: &Record, stored: SealedAs) -> Self {
        Self {
            id: record.id.as_uuid(),
            content_hash: record.content_hash,
            created_at: stored.created_at.timestamp_micros(),
            transaction: stored.transaction,
        }
    }

    pub(crate) fn from_record(bytes: &[u8; LEAF_RECORD]) -> Self {
        let (id, rest) = bytes.split_at(16);
        let (content_hash, rest) = rest.split_at(32);
        let (created_at, transaction) = rest.split_at(8);
        Self {
            id: Uuid::from_bytes(array(id)),
            content_hash: array(content_hash),
            created_at: i64::from_be_bytes(array(created_at)).saturating_add(SINCE_1970),
            transaction: u64::from_be_bytes(array(transaction)),
        }
    }

    /// Domain, tenant, id, content hash, time and transaction, each of a fixed length.
    pub(crate) fn hash(&self, tenant: TenantId) -> Hash {
        let tenant = tenant.as_uuid();
        let mut bytes = [0; LEAF_LEN];
        let mut rest = bytes.as_mut_slice();
        let parts: [&[u8]; 6] = [
            DOMAIN,
            tenant.as_bytes(),
            self.id.as_bytes(),
            &self.content_hash,
            &self.created_at.to_be_bytes(),
            &self.transaction.to_be_bytes(),
        ];
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        merkle::leaf_hash(&bytes)
    }
}

/// The slice has this length.
fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    slice.try_into().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_of_version_1_stays_as_it_is() {
        let mut record = [7; LEAF_RECORD];
        record[48..56].copy_from_slice(&1_000_001_i64.to_be_bytes());
        record[56..].copy_from_slice(&42_u64.to_be_bytes());
        let leaf = Leaf::from_record(&record);
        assert_eq!((leaf.transaction, leaf.content_hash), (42, [7; 32]));
        assert_eq!(leaf.created_at, 946_684_801_000_001);
        let tenant = TenantId::from_uuid(Uuid::from_bytes([9; 16]));
        assert_eq!(hex::encode(leaf.hash(tenant)), GOLDEN);
        let other = TenantId::from_uuid(Uuid::from_bytes([8; 16]));
        assert_ne!(leaf.hash(tenant), leaf.hash(other));
    }

    /// Computed by another program.
    const GOLDEN: &str = "2897ae204ee315e02402457eb8698af1d01ed3740ec8c60d76aad6a76b3ecd7b";
}
