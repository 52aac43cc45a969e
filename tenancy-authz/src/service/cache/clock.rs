//! The time, read in two ways.
//!
//! Reading the clock to the nanosecond costs as much as the rest of a check. The kernel also keeps
//! what it read at its last tick, which costs a fifth: never ahead of the clock, and behind it by the
//! length of a tick, 1 to 10 ms. What is sure to be fresh even if it is far behind is answered by it.

use std::time::Duration;

/// How far the last tick is taken to be behind at most. A kernel that found its ticks late makes up
/// for it within five of them (50 ms at the longest); one that is further behind is not asked.
pub(crate) const SLACK: Duration = Duration::from_millis(100);

/// How many checks believe one and the same tick at most before it is held against the clock again.
pub(crate) const LONGEST_TRUST: u16 = 255;

/// Holds the last tick against the clock: whenever there is a new one, and ever more rarely while it stays
/// the same. A tick lasts for many checks or for none, so that this costs a check next to nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    tick: Tick,
    is_behind: bool,
    /// Checks until the clock is read again.
    left: u16,
    /// How many those will be then.
    next: u16,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            tick: Tick::NEVER,
            is_behind: false,
            left: 0,
            next: 0,
        }
    }

    /// Whether this tick may decide.
    pub(crate) fn trusts(&mut self, lately: Tick) -> bool {
        if !source::IS_COARSE {
            return true;
        }
        if lately != self.tick {
            self.tick = lately;
            (self.left, self.next) = (0, 0);
        }
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return !self.is_behind;
        }
        self.is_behind = lately.plus(SLACK) < Tick::now();
        self.left = self.next;
        self.next = (self.next * 2 + 1).min(LONGEST_TRUST);
        !self.is_behind
    }
}

/// A moment of the system's monotonic clock, in nanoseconds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Tick(u64);

impl Tick {
    /// No moment is after it.
    pub(crate) const NEVER: Self = Self(u64::MAX);
    /// No moment is before it.
    pub(crate) const PAST: Self = Self(0);

    /// Now, to the nanosecond.
    pub(crate) fn now() -> Self {
        source::now()
    }

    /// Not after now, and not much before.
    pub(crate) fn lately() -> Self {
        source::lately()
    }

    pub(crate) fn plus(self, later: Duration) -> Self {
        let nanos = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

#[cfg(all(target_os = "linux", not(test)))]
mod source {
    use rustix::time::{ClockId, clock_gettime};

    use super::Tick;

    pub(super) const IS_COARSE: bool = true;

    pub(super) fn now() -> Tick {
        read(ClockId::Monotonic)
    }

    pub(super) fn lately() -> Tick {
        read(ClockId::MonotonicCoarse)
    }

    fn read(clock: ClockId) -> Tick {
        let read = clock_gettime(clock);
        // Neither is negative on this clock, which began when the machine did.
        let seconds = u64::try_from(read.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(read.tv_nsec).unwrap_or(0);
        Tick(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }
}

#[cfg(all(not(target_os = "linux"), not(test)))]
mod source {
    use std::{sync::LazyLock, time::Instant};

    use super::Tick;

    pub(super) const IS_COARSE: bool = false;

    pub(super) fn now() -> Tick {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        Tick(0).plus(BEGINNING.elapsed())
    }

    pub(super) fn lately() -> Tick {
        now()
    }
}

/// The clock of the test's runtime, which can stand still, and one that lags behind it as told.
#[cfg(test)]
pub(super) mod source {
    use std::{cell::Cell, sync::LazyLock, time::Duration};

    use tokio::time::Instant;

    use super::Tick;

    pub(super) const IS_COARSE: bool = true;

    thread_local! {
        static LAG: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Lets `lately` lag by this much on this thread.
    pub(crate) fn lag(by: Duration) {
        LAG.set(by);
    }

    pub(super) fn now() -> Tick {
        // Long ago: a clock that stands still may have stopped before this is first asked for.
        static BEGINNING: LazyLock<Instant> = LazyLock::new(|| {
            let now = std::time::Instant::now();
            Instant::from_std(now.checked_sub(Duration::from_mins(1)).unwrap_or(now))
        });
        Tick(0).plus(Instant::now().duration_since(*BEGINNING))
    }

    pub(super) fn lately() -> Tick {
        let lag = u64::try_from(LAG.get().as_nanos()).unwrap_or(u64::MAX);
        Tick(now().0.saturating_sub(lag))
    }
}
