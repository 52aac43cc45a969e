//! The queue in memory: [`JobStore`](crate::JobStore) and [`JobLedger`](crate::JobLedger).

mod ledger;
mod state;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use state::State;

/// Keeps jobs of all tenants in memory, by the clock of this process.
///
/// What happens in a transaction appears when it commits; a fence is checked when the call is made
/// and again at the commit. It knows nothing of suspended tenants: that is the database's.
#[derive(Clone, Debug, Default)]
pub struct MemoryJobStore(Arc<Mutex<State>>);

impl MemoryJobStore {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
