//! What is kept of one user in one tenant.

use std::{sync::Arc, time::Duration};

use super::{
    Key,
    clock::{SLACK, Tick},
};
use crate::Snapshot;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) key: Key,
    pub(crate) snapshot: Arc<Snapshot>,
    fresh_until: Tick,
    /// When a role of the user ends by the clock: no epoch tells.
    ends: Tick,
    /// The kernel's last tick was too far behind to be asked.
    is_exact: bool,
    /// Asked for again since it was loaded, and since the hand of the shard last passed.
    pub(super) is_used: bool,
}

/// When a load was begun: before its query was sent, so that its own time does not count as
/// freshness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) at: Tick,
    lately: Tick,
}

impl Start {
    pub(crate) fn now() -> Self {
        // In this order the lag can only seem longer than it is.
        let lately = Tick::lately();
        Self {
            at: Tick::now(),
            lately,
        }
    }

    /// Whether the last tick is further behind than it is trusted to be.
    fn lags(self) -> bool {
        self.lately.plus(SLACK) < self.at
    }
}

impl Entry {
    pub(crate) fn new(key: Key, snapshot: Snapshot, start: Start, bound: Duration) -> Self {
        let left = snapshot.valid_for;
        Self {
            key,
            snapshot: Arc::new(snapshot),
            fresh_until: start.at,
            ends: left.map_or(Tick::NEVER, |left| start.at.plus(left)),
            is_exact: false,
            is_used: false,
        }
        .extended(start, bound)
    }

    pub(crate) fn extended(self, start: Start, bound: Duration) -> Self {
        Self {
            fresh_until: start.at.plus(bound).min(self.ends),
            is_exact: start.lags(),
            ..self
        }
    }

    /// `lately`, if it is trusted, decides where it can, the clock itself where it can't: in the last stretch.
    pub(crate) fn is_fresh(&self, lately: Option<Tick>) -> bool {
        let is_sure = |lately: Tick| lately.plus(SLACK) < self.fresh_until && !self.is_exact;
        lately.is_some_and(is_sure) || Tick::now() < self.fresh_until
    }

    /// Whether a role has ended, so that an unchanged epoch means nothing.
    pub(super) fn has_ended(&self, now: Tick) -> bool {
        now >= self.ends
    }

    /// Nothing is believed until it is confirmed, whatever clock says it is not yet past.
    pub(super) fn doubt(&mut self) {
        self.fresh_until = Tick::PAST;
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.snapshot.weight()
    }
}
