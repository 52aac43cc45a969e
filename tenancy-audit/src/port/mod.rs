//! The traits that a host may implement.

mod seal;
mod store;

pub use seal::{SealAnchor, SealSigner};
pub use store::AuditStore;
#[cfg(feature = "testing")]
pub use {
    seal::{MockSealAnchor, MockSealSigner},
    store::MockAuditStore,
};
