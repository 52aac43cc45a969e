//! The traits that a host may implement.
//!
//! All are object-safe, `Send + Sync + 'static`, and have no default methods.

mod handler;
mod ledger;
mod store;

pub use handler::{BatchHandler, TxHandler};
pub use ledger::JobLedger;
pub use store::JobStore;

#[cfg(feature = "testing")]
pub use self::{
    handler::{MockBatchHandler, MockTxHandler},
    ledger::MockJobLedger,
    store::MockJobStore,
};
