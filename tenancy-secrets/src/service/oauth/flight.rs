//! One refresh of a connection at a time in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tenancy_core::TenantId;
use tokio::sync::OwnedMutexGuard;

use crate::ConnectionId;

type Key = (TenantId, ConnectionId);

/// Keeps callers of one connection in a line, so that the database sees one claim a process.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>);

/// Held while a refresh is in the air.
pub(super) type Seat = OwnedMutexGuard<()>;

impl Flights {
    /// Waits for one's turn.
    pub(super) async fn enter(&self, key: Key) -> Seat {
        self.lane(key).lock_owned().await
    }

    /// Takes a turn if nobody has it.
    pub(super) fn try_enter(&self, key: Key) -> Option<Seat> {
        self.lane(key).try_lock_owned().ok()
    }

    fn lane(&self, key: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() > 1_024 {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        lanes.entry(key).or_default().clone()
    }
}
