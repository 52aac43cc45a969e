//! For tests of hosts and of the family: a store in memory and the conformance suite of the port.
//! Not covered by semantic versioning.

pub mod conformance;
#[doc(hidden)]
pub mod fuzz;
mod key_conformance;
mod memory;
mod seal_conformance;
mod stream_conformance;

pub use crate::port::{MockAuditStore, MockSealAnchor, MockSealSigner, MockStreamTarget};
pub use memory::MemoryAuditStore;
