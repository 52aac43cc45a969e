//! How a call is made, and what a router allows.

use std::time::Duration;

/// How one call is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InvokeOptions {
    /// Makes the call happen once. Needed for tools that are not safe to repeat.
    pub idempotency_key: Option<String>,
    /// How long all of it may take, waits and retries included; 60 s by default, a day at most.
    pub deadline: Duration,
    /// How long one try may take; 30 s by default.
    pub attempt_timeout: Duration,
    /// How often it is tried; 3 by default, 10 at most.
    pub max_attempts: u16,
    /// The longest wait before the second try; doubles with each further one, up to 5 s. The wait
    /// is random up to that; 100 ms by default.
    pub backoff: Duration,
}

impl Default for InvokeOptions {
    fn default() -> Self {
        Self {
            idempotency_key: None,
            deadline: Duration::from_mins(1),
            attempt_timeout: Duration::from_secs(30),
            max_attempts: 3,
            backoff: Duration::from_millis(100),
        }
    }
}

impl InvokeOptions {
    /// The defaults, with a key.
    pub fn once(key: impl Into<String>) -> Self {
        Self::default().with_idempotency_key(key)
    }

    /// Makes the call happen once.
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Bounds all of it.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Bounds one try.
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// Sets how often it is tried.
    pub fn with_max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the longest wait before the second try.
    pub fn with_backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }
}

/// What a router allows, for all calls.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouterLimits {
    /// Parameters over this many bytes of JSON are refused; 1 MiB by default.
    pub max_params_bytes: usize,
    /// Parameters nested deeper are refused; 64 by default.
    pub max_params_depth: usize,
    /// Of results over this many bytes only the hash is kept; 256 KiB by default.
    pub max_stored_result_bytes: usize,
    /// How long a claim outlives the try it is for; 15 s by default.
    pub lease_grace: Duration,
    /// Sessions kept open in all; 256 by default.
    pub max_sessions: usize,
    /// An unused session is closed after this; 15 min by default.
    pub session_idle: Duration,
    /// A session's list of tools is read anew after this; 5 min by default.
    pub tool_list_ttl: Duration,
    /// How long connecting may take; 15 s by default.
    pub connect_timeout: Duration,
    /// Retries that a tenant may spend on a provider: one more each second, and one for every ten
    /// calls, up to this many; 10 by default.
    pub retry_burst: u32,
}

impl Default for RouterLimits {
    fn default() -> Self {
        Self {
            max_params_bytes: 1024 * 1024,
            max_params_depth: 64,
            max_stored_result_bytes: 256 * 1024,
            lease_grace: Duration::from_secs(15),
            max_sessions: 256,
            session_idle: Duration::from_mins(15),
            tool_list_ttl: Duration::from_mins(5),
            connect_timeout: Duration::from_secs(15),
            retry_burst: 10,
        }
    }
}

impl RouterLimits {
    /// Sets from which size on only the hash of a result is kept.
    pub fn with_max_stored_result_bytes(mut self, bytes: usize) -> Self {
        self.max_stored_result_bytes = bytes;
        self
    }

    /// Sets how long a claim outlives the try it is for.
    pub fn with_lease_grace(mut self, grace: Duration) -> Self {
        self.lease_grace = grace;
        self
    }

    /// Sets how many sessions are kept open.
    pub fn with_max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions.max(1);
        self
    }

    /// Sets after which time an unused session is closed.
    pub fn with_session_idle(mut self, idle: Duration) -> Self {
        self.session_idle = idle;
        self
    }

    /// Sets after which time a list of tools is read anew.
    pub fn with_tool_list_ttl(mut self, ttl: Duration) -> Self {
        self.tool_list_ttl = ttl;
        self
    }

    /// Sets how long connecting may take.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many retries a tenant may spend on a provider at once.
    pub fn with_retry_burst(mut self, retries: u32) -> Self {
        self.retry_burst = retries;
        self
    }
}
