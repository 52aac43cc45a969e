//! Whether trying again can help.

use std::time::Duration;

/// What a caller should do after an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Retry {
    /// The same call fails again: change the input, or ask somebody.
    Never,
    /// The same call may succeed after this long.
    After(Duration),
    /// The same call may succeed; wait longer each time, with jitter.
    Backoff,
}

impl Retry {
    /// Whether another try can help at all.
    pub fn is_retryable(self) -> bool {
        self != Self::Never
    }
}
