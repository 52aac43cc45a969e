//! A part of the cache under one lock.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Key, flight::Flight};
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

    fn is_newer_than(&self, other: &Self) -> bool {
        let moment = |entry: &Self| (entry.snapshot.epoch, entry.fresh_until);
        moment(self) > moment(other)
    }

    pub(crate) fn has_ended(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| now >= ends)
    }
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) entries: HashMap<Key, Entry>,
    pub(crate) flights: HashMap<Key, Flight>,
    /// Counts how often something was forgotten.
    pub(crate) generation: u64,
    capacity: usize,
}

impl Shard {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            flights: HashMap::new(),
            generation: 0,
            capacity,
        }
    }

    /// Keeps what a load found, unless something was forgotten since it began, or a load that began
    /// later found something newer.
    pub(crate) fn keep(&mut self, key: Key, entry: Entry, flight: &Flight) {
        if flight.generation != self.generation {
            return;
        }
        match self.entries.get_mut(&key) {
            Some(kept) if kept.is_newer_than(&entry) => {}
            Some(kept) => *kept = entry,
            None => {
                self.make_room();
                self.entries.insert(key, entry);
            }
        }
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
