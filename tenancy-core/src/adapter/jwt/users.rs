//! Remembers which user a subject is.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::UserId;

/// How many are remembered in each of the two generations.
const GENERATION: usize = 8_192;

/// A bounded memory in two generations: when the younger one is full, it becomes the older one, and
/// what nobody asked for since the last time is forgotten. A subject never becomes another user, so
/// nothing has to expire.
#[derive(Default)]
pub(super) struct Users(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<String, UserId>,
    old: HashMap<String, UserId>,
}

impl Users {
    pub(super) fn get(&self, subject: &str) -> Option<UserId> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = known.young.get(subject) {
            return Some(*user);
        }
        let (subject, user) = known.old.remove_entry(subject)?;
        known.put(subject, user);
        Some(user)
    }

    pub(super) fn put(&self, subject: &str, user: UserId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.put(subject.to_owned(), user);
    }
}

impl Generations {
    fn put(&mut self, subject: String, user: UserId) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(subject, user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_used() {
        let (users, kept) = (Users::default(), UserId::new());
        users.put("kept", kept);
        for n in 0..5 * GENERATION {
            users.put(&n.to_string(), UserId::new());
            if n % 1_000 == 0 {
                assert_eq!(users.get("kept"), Some(kept));
            }
        }
        let known = users.0.lock().unwrap();
        assert!(known.young.len() + known.old.len() <= 2 * GENERATION);
        drop(known);
        assert_eq!(users.get("0"), None);
    }
}
