//! How long to wait before another try.

use std::time::Duration;

/// Exponential back-off: doubles from a first delay up to a longest one, with jitter.
///
/// The jitter takes the delay down by up to a half, so that jobs that failed together don't come
/// back together.
///
/// ```
/// use std::time::Duration;
/// use tenancy_jobs::Backoff;
///
/// let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// assert!(backoff.delay(3) >= Duration::from_secs(2));
/// assert!(backoff.delay(3) <= Duration::from_secs(4));
/// assert!(backoff.delay(40) <= Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits at most `first` after the first failure and at most `longest` after any.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The delay after the try with this number, counted from 1.
    pub fn delay(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1).min(31));
        let full = self.first.saturating_mul(doubled).min(self.longest);
        jittered(full)
    }
}

impl Default for Backoff {
    /// From 2 seconds to 10 minutes.
    fn default() -> Self {
        Self::new(Duration::from_secs(2), Duration::from_mins(10))
    }
}

/// Between half of `full` and `full`.
pub(crate) fn jittered(full: Duration) -> Duration {
    // Without randomness there is no jitter, which is no reason not to work.
    let part = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    full.mul_f64(0.5 + part / 2.0)
}
