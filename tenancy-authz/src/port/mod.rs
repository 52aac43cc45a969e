//! The trait that a host may implement.

mod policy;

#[cfg(feature = "testing")]
pub use policy::MockPolicyStore;
pub use policy::PolicyStore;
