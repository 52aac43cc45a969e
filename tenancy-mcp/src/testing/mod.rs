//! For tests of hosts and of this crate: fakes, and the conformance suite of
//! [`InvocationStore`](crate::InvocationStore). Not covered by semantic versioning.

pub mod conformance;

mod memory;
mod transport;

pub use memory::MemoryInvocations;
pub use transport::{FakeAnswer, FakeTransport};
