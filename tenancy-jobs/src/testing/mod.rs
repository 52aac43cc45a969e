//! For tests of hosts and of this crate: the store in memory, and the conformance suite of the
//! ports. Not covered by semantic versioning.

pub mod conformance;
mod memory;

pub use memory::MemoryJobStore;
