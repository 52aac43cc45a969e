//! The traits that a host may implement.

mod seal;
mod store;
mod stream;

pub use seal::{SealAnchor, SealSigner};
pub use store::AuditStore;
pub use stream::StreamTarget;
#[cfg(feature = "testing")]
pub use {
    seal::{MockSealAnchor, MockSealSigner},
    store::MockAuditStore,
    stream::MockStreamTarget,
};
