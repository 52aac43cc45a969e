//! For tests of hosts and of the family: an in-memory store, a key store that can fail, a provider
//! that answers what a test says, and the conformance suites of the ports. Not covered by semantic
//! versioning.

pub mod conformance;
mod http;
mod key_wrap;
mod store;

pub use http::ScriptedHttp;
pub use key_wrap::CountingKeyWrap;
pub use store::MemorySecretStore;
