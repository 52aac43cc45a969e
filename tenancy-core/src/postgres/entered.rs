//! Who may enter what, for a moment.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{Access, TenantId, UserId};

/// Memberships that were found active a short while ago.
///
/// An answer is good for a bound that counts from before its question was sent; a change in this
/// process ends it at once. Refusals are not kept: whoever tries tenants at random fills nothing,
/// and a new member is in at once.
#[derive(Debug)]
pub(crate) struct Entered {
    bound: Duration,
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seats: HashMap<(TenantId, UserId), Seat>,
    /// Counts what was forgotten, so that an answer from before is not kept after it.
    forgotten: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    access: Access,
    until: Instant,
}

/// A question on its way to the database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    at: Instant,
    forgotten: u64,
}

impl Entered {
    /// Keeps answers for `bound`, none if that is zero, and at most `max` of them.
    pub(crate) fn new(bound: Duration, max: usize) -> Self {
        Self {
            bound,
            max,
            state: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, tenant: TenantId, user: UserId) -> Option<Access> {
        let now = Instant::now();
        let seat = self.lock().seats.get(&(tenant, user)).copied();
        let access = seat.filter(|seat| now < seat.until).map(|seat| seat.access);
        let result = if access.is_some() { "hit" } else { "miss" };
        metrics::counter!("tenancy_enter_cache_total", "result" => result).increment(1);
        access
    }

    /// To be called before the question is sent.
    pub(crate) fn ask(&self) -> Asked {
        Asked {
            at: Instant::now(),
            forgotten: self.lock().forgotten,
        }
    }

    pub(crate) fn keep(&self, asked: Asked, tenant: TenantId, user: UserId, access: Access) {
        let until = asked.at + self.bound;
        let mut state = self.lock();
        if state.forgotten != asked.forgotten || self.bound.is_zero() || self.max == 0 {
            return;
        }
        if state.seats.len() >= self.max {
            state.seats.retain(|_, seat| asked.at < seat.until);
        }
        // Full of answers that are still good: starting afresh costs each of them one question.
        if state.seats.len() >= self.max {
            state.seats.clear();
        }
        state.seats.insert((tenant, user), Seat { access, until });
    }

    pub(crate) fn forget(&self, tenant: TenantId) {
        let mut state = self.lock();
        state.forgotten += 1;
        state.seats.retain(|(of, _), _| *of != tenant);
    }

    /// The same for one member.
    pub(crate) fn forget_one(&self, tenant: TenantId, user: UserId) {
        let mut state = self.lock();
        state.forgotten += 1;
        state.seats.remove(&(tenant, user));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_before_a_change_is_not_kept_after_it() {
        let entered = Entered::new(Duration::from_mins(1), 10);
        let (tenant, user) = (TenantId::new(), UserId::new());
        let asked = entered.ask();
        entered.forget(tenant);
        entered.keep(asked, tenant, user, Access::ReadWrite);
        assert_eq!(entered.get(tenant, user), None);

        entered.keep(entered.ask(), tenant, user, Access::ReadOnly);
        assert_eq!(entered.get(tenant, user), Some(Access::ReadOnly));
        entered.forget(TenantId::new());
        assert_eq!(entered.get(tenant, user), Some(Access::ReadOnly));
        entered.forget(tenant);
        assert_eq!(entered.get(tenant, user), None);
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let entered = Entered::new(Duration::from_mins(1), 3);
        let tenant = TenantId::new();
        for _ in 0..10 {
            let user = UserId::new();
            entered.keep(entered.ask(), tenant, user, Access::ReadWrite);
            assert!(entered.get(tenant, user).is_some());
            assert!(entered.lock().seats.len() <= 3);
        }
    }

    #[test]
    fn a_bound_of_zero_keeps_nothing() {
        let entered = Entered::new(Duration::ZERO, 3);
        let (tenant, user) = (TenantId::new(), UserId::new());
        entered.keep(entered.ask(), tenant, user, Access::ReadWrite);
        assert_eq!(entered.get(tenant, user), None);
        assert!(entered.lock().seats.is_empty());
    }
}
