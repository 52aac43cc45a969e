use std::fmt::Debug;

use async_trait::async_trait;

use crate::PlatformEvent;

/// Keeps what happened outside of every tenant, for whoever runs the platform.
///
/// # Contract
/// [`note`](Self::note) returns at once and never fails: a refusal must neither wait for the log nor
/// depend on it. What can't be kept is counted in `tenancy_platform_events_lost_total`. Events that
/// are equal are folded into one with a count, and the number of different ones in a minute has a
/// bound that the implementation documents: who is refused a million times must not fill a disk.
///
/// # Concurrency
/// Any number of calls at once, also from several processes.
///
/// # Errors and retry
/// None. The implementation tries again by itself where that can help.
///
/// # Cancellation
/// A dropped [`flush`](Self::flush) has stopped nothing. A process that dies loses what was not
/// stored yet.
///
/// # For implementors
/// `tenancy_core::testing::conformance::platform_log` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait PlatformLog: Debug + Send + Sync + 'static {
    /// Takes an event, to be stored soon.
    fn note(&self, event: PlatformEvent);

    /// Waits until one try was made to store everything that was noted before.
    async fn flush(&self);
}
