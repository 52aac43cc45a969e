//! How long to wait before something is tried again.

use std::time::Duration;

use tenancy_core::Retry;

/// The waits between the tries of one piece of work.
#[derive(Debug)]
pub(crate) struct Patience {
    left: u32,
    tried: u32,
    max_wait: Duration,
}

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(20);

impl Patience {
    /// For `attempts` tries in all; a wait longer than `max_wait` is not waited.
    pub(crate) fn new(attempts: u32, max_wait: Duration) -> Self {
        Self {
            left: attempts.saturating_sub(1),
            tried: 0,
            max_wait,
        }
    }

    /// How long to wait after a failure; `None` if it is final.
    pub(crate) fn after(&mut self, retry: Retry) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        self.tried += 1;
        match retry {
            Retry::After(wait) => (wait <= self.max_wait).then_some(wait),
            Retry::Backoff => {
                let full = FIRST_WAIT.saturating_mul(1 << (self.tried - 1).min(10));
                let full = full.min(LONGEST_BACKOFF).min(self.max_wait);
                Some(full.mul_f64(0.5 + jitter() / 2.0))
            }
            _ => None,
        }
    }
}

/// Between 0 and 1: enough to keep callers that failed together from coming back together. The
/// low bits of a random uuid serve.
fn jitter() -> f64 {
    let bits = crate::IngestionId::new().as_uuid().as_u128() & 0xffff;
    f64::from(u16::try_from(bits).unwrap_or_default()) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut patience = Patience::new(3, LONGEST_BACKOFF);
        let first = patience.after(Retry::Backoff).unwrap();
        assert!((100..=200).contains(&first.as_millis()), "{first:?}");
        let second = patience.after(Retry::Backoff).unwrap();
        assert!((200..=400).contains(&second.as_millis()), "{second:?}");
        assert_eq!(patience.after(Retry::Backoff), None);
    }

    #[test]
    fn a_server_is_waited_for_but_not_for_ever() {
        let wait = Duration::from_secs(2);
        assert_eq!(Patience::new(2, wait).after(Retry::After(wait)), Some(wait));
        assert_eq!(Patience::new(2, wait).after(Retry::After(wait * 2)), None);
        assert_eq!(Patience::new(2, wait).after(Retry::Never), None);
    }
}
