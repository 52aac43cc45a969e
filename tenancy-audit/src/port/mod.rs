//! The traits that a host may implement.

mod store;

pub use store::AuditStore;
#[cfg(feature = "testing")]
pub use store::MockAuditStore;
