use async_trait::async_trait;

use crate::{Entry, Error};

/// Takes entries to a system outside, such as a SIEM.
///
/// # Contract
/// Takes entries from the front of those given, in their order, at least one, and answers how many the
/// system outside has: once it is answered, nobody gives these again. A call takes a bounded time.
///
/// # Concurrency
/// One call at a time from one stream; two processes may call at once for a moment after one of them
/// stood still, with the same entries.
///
/// # Errors and retry
/// [`Error::retry`] decides: never parks the stream at once; a time is waited for; anything else is tried
/// again with back-off. [`Conflict`](crate::ErrorKind::Conflict) says that the receiver refused what it
/// was given, and parks after five of them in a row. Nothing is passed over.
///
/// # Cancellation
/// A dropped call has delivered or not; the same entries are given again.
///
/// # For implementors
/// Entries may come more than once: hand on the id of each, by which a receiver tells.
/// `tenancy_audit::testing::conformance::stream_target` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait StreamTarget: Send + Sync + 'static {
    /// Delivers from the front, and answers how many.
    async fn deliver(&self, entries: &[Entry]) -> Result<usize, Error>;
}
