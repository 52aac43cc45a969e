//! How a call on the wire can fail, and what that proves.

use std::time::Duration;

/// Whether a call that failed may have reached the server's code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Sent {
    /// It is certain that the server did nothing of it.
    No,
    /// It may have been done, whole or in part. When in doubt, this.
    Maybe,
}

/// What went wrong on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The connection or its stream ended before the answer.
    Closed,
    /// The egress policy or the transport's own rules forbid the endpoint.
    Forbidden,
    /// An answer that the protocol does not allow, or that is over a limit.
    Protocol,
    /// The server refused the call itself, for good: no such tool, invalid parameters.
    Rejected,
    /// The server failed.
    Server,
    /// The session is no longer known to the server.
    SessionExpired,
    /// No answer in time.
    Timeout,
    /// The server had no time for the call (429, 503 with `Retry-After`) or did not like its
    /// headers: usually before any work, but only the provider knows.
    TurnedAway,
    /// The credential was not taken.
    Unauthorized,
    /// The server can't be reached: name, connection, TLS.
    Unreachable,
}

impl FaultKind {
    /// Stable text for stored errors, audit entries and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "connection_closed",
            Self::Forbidden => "endpoint_forbidden",
            Self::Protocol => "protocol_error",
            Self::Rejected => "call_rejected",
            Self::Server => "server_error",
            Self::SessionExpired => "session_expired",
            Self::Timeout => "timeout",
            Self::TurnedAway => "turned_away",
            Self::Unauthorized => "unauthorized",
            Self::Unreachable => "unreachable",
        }
    }
}

/// A call, or a connection, that failed. The message holds no secret and no URL with a query.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CallFault {
    /// What went wrong.
    pub kind: FaultKind,
    /// Whether the server may have acted: every decision to try again rests on it.
    pub sent: Sent,
    /// What to tell a person.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

impl CallFault {
    /// A fault before anything of the call left: the server did nothing.
    pub fn unsent(kind: FaultKind, message: impl Into<String>) -> Self {
        Self::new(kind, Sent::No, message)
    }

    /// A fault after which nobody knows what the server did.
    pub fn maybe_sent(kind: FaultKind, message: impl Into<String>) -> Self {
        Self::new(kind, Sent::Maybe, message)
    }

    /// Says how long the server asks to wait.
    pub fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    fn new(kind: FaultKind, sent: Sent, message: impl Into<String>) -> Self {
        let message = message.into().chars().take(300).collect();
        Self {
            kind,
            sent,
            message,
            retry_after: None,
        }
    }

    /// Whether trying again can't help.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.kind, FaultKind::Forbidden | FaultKind::Rejected)
    }

    /// Whether the session is of no more use. A call that ran out of time does not end it.
    pub(crate) fn ends_session(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::Closed
                | FaultKind::SessionExpired
                | FaultKind::Unauthorized
                | FaultKind::Unreachable
        )
    }

    /// What the fault means for a call to a provider.
    pub(crate) fn judge(&self, may_repeat: bool, rejects_before_work: bool) -> Judgement {
        let proven =
            self.sent == Sent::No || (self.kind == FaultKind::TurnedAway && rejects_before_work);
        match proven {
            true if self.is_final() => Judgement::Final,
            true => Judgement::NotExecuted,
            false if may_repeat => Judgement::Repeatable,
            false => Judgement::Unknown,
        }
    }
}

impl std::fmt::Display for CallFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// What may be done after a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Judgement {
    /// Not done, and trying again gives the same answer.
    Final,
    /// Not done: any call may be tried again.
    NotExecuted,
    /// Perhaps done, and doing it again does no harm.
    Repeatable,
    /// Perhaps done, and never to be repeated.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proof_lets_an_unsafe_call_be_tried_again() {
        let cases = [
            (
                CallFault::unsent(FaultKind::Unreachable, ""),
                false,
                Judgement::NotExecuted,
            ),
            (
                CallFault::unsent(FaultKind::Unauthorized, ""),
                false,
                Judgement::NotExecuted,
            ),
            (
                CallFault::unsent(FaultKind::Rejected, ""),
                false,
                Judgement::Final,
            ),
            (
                CallFault::maybe_sent(FaultKind::Timeout, ""),
                false,
                Judgement::Unknown,
            ),
            (
                CallFault::maybe_sent(FaultKind::Timeout, ""),
                true,
                Judgement::Unknown,
            ),
            (
                CallFault::maybe_sent(FaultKind::Server, ""),
                true,
                Judgement::Unknown,
            ),
            (
                CallFault::maybe_sent(FaultKind::TurnedAway, ""),
                false,
                Judgement::Unknown,
            ),
            (
                CallFault::maybe_sent(FaultKind::TurnedAway, ""),
                true,
                Judgement::NotExecuted,
            ),
        ];
        for (fault, rejects, expected) in cases {
            assert_eq!(fault.judge(false, rejects), expected, "{fault:?}");
        }
        let cut = CallFault::maybe_sent(FaultKind::Closed, "");
        assert_eq!(cut.judge(true, false), Judgement::Repeatable);
    }
}
