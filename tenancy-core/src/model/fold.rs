//! Many equal events become one with a count.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::PlatformEvent;

const WINDOW: Duration = Duration::from_mins(1);

/// The events that are not stored yet, and which ones this minute has seen.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    pending: HashMap<PlatformEvent, u64>,
    seen: HashSet<PlatformEvent>,
    since: Option<Instant>,
}

impl Fold {
    /// Takes an event. Once a minute has seen `most` different ones, those that are new to it are
    /// folded together: kind and code are kept, and who, where and whence are not.
    pub(crate) fn add(&mut self, event: PlatformEvent, most: usize, now: Instant) {
        if self.since.is_none_or(|since| now >= since + WINDOW) {
            self.since = Some(now);
            self.seen.clear();
        }
        let known = self.seen.contains(&event) || self.pending.contains_key(&event);
        let full = self.seen.len().max(self.pending.len()) >= most;
        let event = if known || !full {
            self.seen.insert(event.clone());
            event
        } else {
            PlatformEvent::new(event.kind, event.code)
        };
        self.put_back(event, 1);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// What is not stored yet.
    #[cfg(feature = "testing")]
    pub(crate) fn pending(&self) -> &HashMap<PlatformEvent, u64> {
        &self.pending
    }

    /// Everything that is to be stored.
    pub(crate) fn take(&mut self) -> HashMap<PlatformEvent, u64> {
        std::mem::take(&mut self.pending)
    }

    /// Puts back what could not be stored.
    pub(crate) fn put_back(&mut self, event: PlatformEvent, count: u64) {
        let pending = self.pending.entry(event).or_default();
        *pending = pending.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PlatformEventKind::EnterRefused, TenantId};

    fn named() -> PlatformEvent {
        PlatformEvent::new(EnterRefused, "not_a_member").with_tenant(TenantId::new())
    }

    #[test]
    fn equal_events_are_one_and_too_many_different_ones_are_one() {
        let (mut fold, now) = (Fold::default(), Instant::now());
        let first = named();
        for _ in 0..50 {
            fold.add(first.clone(), 10, now);
            fold.add(named(), 10, now);
        }
        let rest = PlatformEvent::new(EnterRefused, "not_a_member");
        let pending = fold.take();
        assert_eq!(pending.len(), 11);
        assert_eq!((pending[&first], pending[&rest]), (50, 41));

        // Taking does not make room within the minute; the next minute does.
        fold.add(named(), 10, now);
        assert_eq!(fold.take().get(&rest), Some(&1));
        let later = named();
        fold.add(later.clone(), 10, now + WINDOW);
        assert_eq!(fold.take().get(&later), Some(&1));
    }

    #[test]
    fn what_could_not_be_stored_is_bounded_over_the_minutes() {
        let (mut fold, mut now) = (Fold::default(), Instant::now());
        for _ in 0..5 {
            (0..100).for_each(|_| fold.add(named(), 10, now));
            now += WINDOW;
        }
        let pending = fold.take();
        assert!(pending.len() <= 11, "{}", pending.len());
        assert_eq!(pending.values().sum::<u64>(), 500);
    }
}
