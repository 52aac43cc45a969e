//! For tests of hosts and of the family: a store in memory and the conformance suite of the port.
//! Not covered by semantic versioning.

pub mod conformance;
mod memory;

pub use crate::port::MockAuditStore;
pub use memory::MemoryAuditStore;
