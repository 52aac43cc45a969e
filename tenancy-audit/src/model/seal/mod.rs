//! Seals: what is signed, and what it is signed with.

mod adoption;
mod bytes;
mod key;
mod leaf;
mod proof;
mod removal;
mod sealed;

pub use adoption::{Adoption, LostSeal};
pub use bytes::SealSignature;
pub use key::{SealKey, SealKeys};
pub use leaf::SealedAs;
pub use proof::{ConsistencyProof, InclusionProof};
pub use removal::Removal;
pub use sealed::{MAX_SEALED, Seal, SealHead};

pub(crate) use key::{invalid as invalid_key, named as named_key};
pub(crate) use leaf::{LEAF_RECORD, Leaf};
pub(crate) use removal::{MAX_REASON, Ranges};
pub(crate) use sealed::{Batch, Chain};

#[cfg(test)]
mod tests;
