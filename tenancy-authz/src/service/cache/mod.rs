//! Snapshots in memory, with a bound on their age.
//!
//! INVARIANT: a check that begins more than the bound after a change was committed sees the change.
//! - An entry answers until the moment its load was *started* plus the bound.
//! - A check joins a load of another only if that was started less than the bound ago.
//! - A load that began before the tenant was forgotten is neither kept nor joined afterwards.

mod clock;
mod entry;
mod flight;
#[cfg(test)]
mod interleavings;
mod shard;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tenancy_core::{TenantId, UserId};
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::{Epoch, Error, ErrorKind, Snapshot};
use clock::Tick;
use entry::Start;
use flight::{Flight, Outcome};
use shard::{Begun, Shard};

pub(crate) use shard::Room;

const SHARDS: usize = 16;

/// Whose rights. A struct and not a joined text: two keys are equal only if all their parts are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
}

/// One hash of a key tells its shard and its place there, by bits that have nothing in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hasher(foldhash::fast::RandomState);

impl Hasher {
    pub(crate) fn hash(&self, key: Key) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u128(key.tenant.as_uuid().as_u128());
        hasher.write_u128(key.user.as_uuid().as_u128());
        hasher.finish()
    }
}

pub(crate) struct SnapshotCache {
    shards: Box<[Mutex<Shard>]>,
    hasher: Hasher,
    bound: Duration,
}

impl SnapshotCache {
    pub(crate) fn new(bound: Duration, room: Room) -> Self {
        let hasher = Hasher::default();
        let each = Room {
            entries: (room.entries / SHARDS).max(1),
            bytes: room.bytes / SHARDS,
        };
        let shard = |_| Mutex::new(Shard::new(each, hasher.clone()));
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            hasher,
            bound,
        }
    }

    /// Asks a fresh snapshot without waiting and without allocating; `None` if there is none.
    pub(crate) fn peek<T>(&self, key: Key, ask: impl FnOnce(&Snapshot) -> T) -> Option<T> {
        let (hash, lately) = (self.hasher.hash(key), Tick::lately());
        let mut shard = self.shard(hash);
        shard.fresh(hash, key, lately).map(|snapshot| ask(snapshot))
    }

    /// A fresh snapshot without waiting; `None` if there is none.
    pub(crate) fn get(&self, key: Key) -> Option<Arc<Snapshot>> {
        let (hash, lately) = (self.hasher.hash(key), Tick::lately());
        self.shard(hash).fresh(hash, key, lately).cloned()
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
        for shard in &self.shards {
            lock(shard).doubt();
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
        let start = Start::now();
        let begun = self.shard_of(key).begin(key, start, self.bound);
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
            let mut shard = cache.shard_of(key);
            let outcome = shard.land(key, &flight, known, loaded, cache.bound);
            drop(shard);
            drop(landed);
            landing.send_replace(Some(outcome));
        };
        tokio::spawn(loading.in_current_span());
        outcome
    }

    fn shard_of(&self, key: Key) -> MutexGuard<'_, Shard> {
        self.shard(self.hasher.hash(key))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // A shard's table looks at the lowest and the highest bits.
        let at = usize::try_from((hash >> 32) % SHARDS as u64).unwrap_or(0);
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
        self.cache.shard_of(self.key).end(self.key, self.flight);
    }
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "load_lost", message)
}

/// A panic while the lock was held can't have left a map half written: nothing in there panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
