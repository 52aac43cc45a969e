//! Seals: what is signed, and what it is signed with.

mod adoption;
mod bytes;
mod key;
mod leaf;
mod proof;
mod removal;
mod sealed;

pub use bytes::SealSignature;
pub use key::{SealKey, SealKeys};
pub use proof::{ConsistencyProof, InclusionProof};
pub use sealed::{Seal, SealHead};

pub(crate) use adoption::{Adoption, Ends, LostSeal};
pub(crate) use key::{invalid as invalid_key, named as named_key};
pub(crate) use leaf::{LEAF_RECORD, Leaf, SealedAs};
pub(crate) use removal::{MAX_REASON, Ranges, Removal};
pub(crate) use sealed::{Batch, Chain, MAX_SEALED};

#[cfg(test)]
mod tests;
