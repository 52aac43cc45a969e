//! A part of the cache under one lock: what happens between locking and unlocking.
//!
//! INVARIANT: only a load that is still among `flights` when it lands is kept, and forgetting a
//! tenant takes its loads out of there. So nothing that was asked before a change is kept after it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tenancy_core::TenantId;
use tokio::{sync::watch, time::Instant};

use super::{
    Key,
    flight::{Flight, Outcome},
};
use crate::Snapshot;

/// How many entries are looked at to find an old one that makes room.
const SAMPLE: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) snapshot: Arc<Snapshot>,
    fresh_until: Instant,
    /// When a role of the user ends by the clock: no epoch tells.
    ends: Option<Instant>,
}

impl Entry {
    /// `started` is the moment before the query was sent, so that its own time does not count as
    /// freshness.
    pub(crate) fn new(snapshot: Snapshot, started: Instant, bound: Duration) -> Self {
        let ends = snapshot
            .valid_for
            .and_then(|left| started.checked_add(left));
        Self {
            snapshot: Arc::new(snapshot),
            fresh_until: started,
            ends,
        }
        .extended(started, bound)
    }

    pub(crate) fn extended(self, started: Instant, bound: Duration) -> Self {
        let until = started + bound;
        let fresh_until = self.ends.map_or(until, |ends| until.min(ends));
        Self {
            fresh_until,
            ..self
        }
    }

    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now < self.fresh_until
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| now >= ends)
    }
}

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

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) entries: HashMap<Key, Entry, foldhash::fast::RandomState>,
    pub(crate) flights: HashMap<Key, Flight>,
    capacity: usize,
    next_flight: u64,
}

impl Shard {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::default(),
            flights: HashMap::new(),
            capacity,
            next_flight: 0,
        }
    }

    pub(crate) fn fresh(&self, key: Key, now: Instant) -> Option<&Snapshot> {
        let entry = self.entries.get(&key)?;
        entry.is_fresh(now).then_some(&*entry.snapshot)
    }

    /// Joins a load that was started less than the bound ago, or starts one.
    pub(crate) fn begin(&mut self, key: Key, started: Instant, bound: Duration) -> Begun {
        if let Some(flight) = self.flights.get(&key)
            && started < flight.started + bound
        {
            return Begun::Joined(flight.outcome.clone());
        }
        let (landing, outcome) = watch::channel(None);
        self.next_flight += 1;
        let flight = Flight {
            id: self.next_flight,
            started,
            outcome,
        };
        self.flights.insert(key, flight.clone());
        let known = self.entries.get(&key);
        let known = known.filter(|entry| !entry.has_ended(started)).cloned();
        Begun::Started {
            flight,
            landing,
            known,
        }
    }

    /// Keeps what a load found, unless the tenant was forgotten since it began, or another load
    /// took its place.
    pub(crate) fn keep(&mut self, key: Key, entry: Entry, flight: &Flight) {
        if !self.is_under_way(key, flight) {
            return;
        }
        if !self.entries.contains_key(&key) {
            self.make_room();
        }
        self.entries.insert(key, entry);
    }

    /// The load is over, whatever came of it.
    pub(crate) fn end(&mut self, key: Key, flight: &Flight) {
        if self.is_under_way(key, flight) {
            self.flights.remove(&key);
        }
    }

    /// Forgets tenants: what was loaded, and what is being loaded.
    pub(crate) fn forget(&mut self, tenants: &HashSet<TenantId>) {
        self.entries.retain(|key, _| !tenants.contains(&key.tenant));
        self.flights.retain(|key, _| !tenants.contains(&key.tenant));
    }

    /// Believes nothing any more until the database confirmed it.
    pub(crate) fn doubt(&mut self, now: Instant) {
        self.flights.clear();
        for entry in self.entries.values_mut() {
            entry.fresh_until = entry.fresh_until.min(now);
        }
    }

    fn is_under_way(&self, key: Key, flight: &Flight) -> bool {
        let registered = self.flights.get(&key);
        registered.is_some_and(|registered| registered.id == flight.id)
    }

    fn make_room(&mut self) {
        if self.entries.len() < self.capacity {
            return;
        }
        let sample = self.entries.iter().take(SAMPLE);
        let stalest = sample
            .min_by_key(|(_, entry)| entry.fresh_until)
            .map(|(key, _)| *key);
        if let Some(key) = stalest {
            self.entries.remove(&key);
        }
    }
}
