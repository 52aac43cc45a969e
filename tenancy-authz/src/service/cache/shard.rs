//! A part of the cache under one lock: what happens between locking and unlocking.
//!
//! INVARIANT: only a load that is still among `flights` when it lands is kept, and forgetting a
//! tenant takes its loads out of there. So nothing that was asked before a change is kept after it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use hashbrown::HashTable;
use tenancy_core::TenantId;
use tokio::sync::watch;

use super::{
    Hasher, Key,
    clock::{Tick, Watch},
    entry::{Entry, Start},
    flight::{Flight, Outcome},
};
use crate::{Error, Snapshot};

/// What a check does that found nothing fresh.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Waits for a load of another.
    Joined(watch::Receiver<Option<Outcome>>),
    /// Loads itself, and tells those who join.
    Started {
        flight: Flight,
        landing: watch::Sender<Option<Outcome>>,
        /// What is known and only has to be confirmed.
        known: Option<Entry>,
    },
}

/// How much a shard keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Shard {
    entries: HashTable<Entry>,
    flights: HashMap<Key, Flight>,
    hasher: Hasher,
    room: Room,
    /// What the entries weigh.
    bytes: usize,
    /// The bucket that is looked at next when room has to be made.
    hand: usize,
    next_flight: u64,
    watch: Watch,
}

impl Shard {
    pub(crate) fn new(room: Room, hasher: Hasher) -> Self {
        Self {
            entries: HashTable::new(),
            flights: HashMap::new(),
            hasher,
            room,
            bytes: 0,
            hand: 0,
            next_flight: 0,
            watch: Watch::new(),
        }
    }

    /// A snapshot that is fresh, if there is one.
    pub(crate) fn fresh(&mut self, hash: u64, key: Key, lately: Tick) -> Option<&Arc<Snapshot>> {
        let entry = self.entries.find_mut(hash, |entry| entry.key == key)?;
        entry.is_used = true;
        let lately = self.watch.trusts(lately).then_some(lately);
        entry.is_fresh(lately).then_some(&entry.snapshot)
    }

    /// Joins a load that was started less than the bound ago, or starts one.
    pub(crate) fn begin(&mut self, key: Key, start: Start, bound: Duration) -> Begun {
        if let Some(flight) = self.flights.get(&key)
            && start.at < flight.start.at.plus(bound)
        {
            return Begun::Joined(flight.outcome.clone());
        }
        let (landing, outcome) = watch::channel(None);
        self.next_flight += 1;
        let flight = Flight {
            id: self.next_flight,
            start,
            outcome,
        };
        self.flights.insert(key, flight.clone());
        let known = self.entries.find(self.hasher.hash(key), |it| it.key == key);
        let known = known.filter(|entry| !entry.has_ended(start.at)).cloned();
        Begun::Started {
            flight,
            landing,
            known,
        }
    }

    /// Ends a load with what it found: a snapshot, or nothing if what is known is current. It is kept
    /// unless the tenant was forgotten since it began, or another load took its place.
    pub(crate) fn land(
        &mut self,
        key: Key,
        flight: &Flight,
        known: Option<Entry>,
        found: Result<Option<Snapshot>, Error>,
        bound: Duration,
    ) -> Outcome {
        let is_under_way = self.end(key, flight);
        let entry = match (found.map_err(Arc::new)?, known) {
            (Some(snapshot), _) => Entry::new(key, snapshot, flight.start, bound),
            (None, Some(entry)) => entry.extended(flight.start, bound),
            (None, None) => {
                let message = "an epoch is current which nobody named";
                return Err(Arc::new(super::unavailable(message)));
            }
        };
        let snapshot = entry.snapshot.clone();
        if is_under_way {
            self.keep(entry);
        }
        Ok(snapshot)
    }

    /// The load is over, whatever came of it; whether it still counted.
    pub(crate) fn end(&mut self, key: Key, flight: &Flight) -> bool {
        let registered = self.flights.get(&key);
        let is_under_way = registered.is_some_and(|registered| registered.id == flight.id);
        if is_under_way {
            self.flights.remove(&key);
        }
        is_under_way
    }

    /// Forgets tenants: what was loaded, and what is being loaded.
    pub(crate) fn forget(&mut self, tenants: &HashSet<TenantId>) {
        let bytes = &mut self.bytes;
        self.entries.retain(|entry| {
            let stays = !tenants.contains(&entry.key.tenant);
            if !stays {
                *bytes = bytes.saturating_sub(entry.weight());
            }
            stays
        });
        self.flights.retain(|key, _| !tenants.contains(&key.tenant));
    }

    /// Believes nothing any more until the database confirmed it.
    pub(crate) fn doubt(&mut self) {
        self.flights.clear();
        for entry in &mut self.entries {
            entry.doubt();
        }
    }

    fn keep(&mut self, entry: Entry) {
        let (hash, hasher) = (self.hasher.hash(entry.key), &self.hasher);
        self.bytes += entry.weight();
        match self.entries.find_mut(hash, |known| known.key == entry.key) {
            Some(known) => {
                self.bytes = self.bytes.saturating_sub(known.weight());
                *known = entry;
                known.is_used = true;
            }
            None => {
                self.entries
                    .insert_unique(hash, entry, |known| hasher.hash(known.key));
            }
        }
        while self.entries.len() > self.room.entries || self.bytes > self.room.bytes {
            self.turn_hand();
        }
    }

    /// Evicts what the hand points at, unless it was asked for since it last passed: then it has one
    /// more turn. Whoever asks once for each of many users evicts those, and not who is always there.
    fn turn_hand(&mut self) {
        let at = self.hand;
        self.hand = (at + 1) % self.entries.num_buckets().max(1);
        let Ok(mut found) = self.entries.get_bucket_entry(at) else {
            return;
        };
        if found.get().is_used {
            found.get_mut().is_used = false;
        } else {
            let (evicted, _) = found.remove();
            self.bytes = self.bytes.saturating_sub(evicted.weight());
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.bytes, self.flights.len())
    }

    /// What its entries weigh, counted anew.
    #[cfg(test)]
    pub(super) fn weighed(&self) -> usize {
        self.entries.iter().map(Entry::weight).sum()
    }
}
