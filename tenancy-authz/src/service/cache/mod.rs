//! Snapshots in memory, with a bound on their age.
//!
//! INVARIANT: a check that begins more than the bound after a change was committed sees the change.
//! - An entry answers until the moment its load was *started* plus the bound.
//! - A check joins a load of another only if that was started less than the bound ago.
//! - A load that began before the tenant was forgotten is neither kept nor joined afterwards.

mod flight;
#[cfg(test)]
mod interleavings;
mod shard;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tenancy_core::{TenantId, UserId};
use tokio::{sync::watch, time::Instant};
use tracing::Instrument as _;

use crate::{Epoch, Error, ErrorKind, Snapshot};
use flight::{Flight, Outcome};
use shard::{Begun, Entry, Shard};

const SHARDS: usize = 16;

/// Whose rights. A struct and not a joined text: two keys are equal only if all their parts are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
}

pub(crate) struct SnapshotCache {
    shards: Box<[Mutex<Shard>]>,
    /// Not the one of the maps: with the same bits a shard's keys would crowd in few buckets.
    hasher: foldhash::fast::RandomState,
    bound: Duration,
}

impl SnapshotCache {
    pub(crate) fn new(bound: Duration, max_snapshots: usize) -> Self {
        let each = (max_snapshots / SHARDS).max(1);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(each))).collect(),
            hasher: foldhash::fast::RandomState::default(),
            bound,
        }
    }

    /// Asks a fresh snapshot without waiting and without allocating; `None` if there is none.
    pub(crate) fn peek<T>(&self, key: Key, ask: impl FnOnce(&Snapshot) -> T) -> Option<T> {
        let now = Instant::now();
        self.shard(key).fresh(key, now).map(ask)
    }

    /// A fresh snapshot without waiting; `None` if there is none.
    pub(crate) fn get(&self, key: Key) -> Option<Arc<Snapshot>> {
        let now = Instant::now();
        let shard = self.shard(key);
        let entry = shard.entries.get(&key)?;
        entry.is_fresh(now).then(|| entry.snapshot.clone())
    }

    /// Loads a snapshot. Many who ask at once load it once.
    ///
    /// `load` is told the epoch that is known, and answers nothing if that is still the current one.
    pub(crate) async fn load<F>(
        self: &Arc<Self>,
        key: Key,
        load: impl FnOnce(Option<Epoch>) -> F + Send + 'static,
    ) -> Result<Arc<Snapshot>, Error>
    where
        F: Future<Output = Result<Option<Snapshot>, Error>> + Send,
    {
        let mut outcome = self.join_or_start(key, load);
        let landed = outcome.wait_for(Option::is_some).await;
        match landed.as_deref() {
            Ok(Some(Ok(snapshot))) => Ok(snapshot.clone()),
            Ok(Some(Err(error))) => Err(Error::unavailable(error)),
            // The loading task panicked, or the runtime is stopping.
            Ok(None) | Err(_) => Err(Error::unavailable(&unavailable(
                "loading the rights did not end",
            ))),
        }
    }

    /// Forgets tenants: what was loaded, and what is being loaded.
    pub(crate) fn forget(&self, tenants: &HashSet<TenantId>) {
        for shard in &self.shards {
            lock(shard).forget(tenants);
        }
    }

    /// Lets the next check of everybody ask whether what is known is still so.
    pub(crate) fn doubt(&self) {
        let now = Instant::now();
        for shard in &self.shards {
            lock(shard).doubt(now);
        }
    }

    fn join_or_start<F>(
        self: &Arc<Self>,
        key: Key,
        load: impl FnOnce(Option<Epoch>) -> F + Send + 'static,
    ) -> watch::Receiver<Option<Outcome>>
    where
        F: Future<Output = Result<Option<Snapshot>, Error>> + Send,
    {
        let begun = self.shard(key).begin(key, Instant::now(), self.bound);
        let (flight, landing, known) = match begun {
            Begun::Joined(outcome) => return outcome,
            Begun::Started {
                flight,
                landing,
                known,
            } => (flight, landing, known),
        };
        let (cache, outcome) = (self.clone(), flight.outcome.clone());
        // In a task: a caller who goes away must not leave those who joined him waiting.
        let loading = async move {
            // Also when the load panics, nobody may find its flight.
            let landed = Landing {
                cache: &cache,
                key,
                flight: &flight,
            };
            metrics::counter!("tenancy_authz_loads_total").increment(1);
            let loaded = load(known.as_ref().map(|entry| entry.snapshot.epoch)).await;
            let outcome = cache.settle(key, &flight, known, loaded);
            drop(landed);
            landing.send_replace(Some(outcome));
        };
        tokio::spawn(loading.in_current_span());
        outcome
    }

    fn settle(
        &self,
        key: Key,
        flight: &Flight,
        known: Option<Entry>,
        loaded: Result<Option<Snapshot>, Error>,
    ) -> Outcome {
        let entry = match (loaded.map_err(Arc::new)?, known) {
            (Some(snapshot), _) => Entry::new(snapshot, flight.started, self.bound),
            (None, Some(entry)) => entry.extended(flight.started, self.bound),
            (None, None) => {
                return Err(Arc::new(unavailable(
                    "an epoch is current which nobody named",
                )));
            }
        };
        let snapshot = entry.snapshot.clone();
        self.shard(key).keep(key, entry, flight);
        Ok(snapshot)
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(key);
        let at = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS of them")]
        lock(&self.shards[at])
    }
}

impl std::fmt::Debug for SnapshotCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotCache")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

struct Landing<'a> {
    cache: &'a SnapshotCache,
    key: Key,
    flight: &'a Flight,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.cache.shard(self.key).end(self.key, self.flight);
    }
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "load_lost", message)
}

/// A panic while the lock was held can't have left a map half written: nothing in there panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
