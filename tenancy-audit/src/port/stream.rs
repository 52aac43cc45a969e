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
/// [`Error::retry`] decides. It follows from the kind unless it is set: see [`Error::new`].
///
/// | advice | the stream |
/// |---|---|
/// | [`Never`](tenancy_core::Retry::Never): any kind but `Unavailable`, if nothing else is said | is parked at once, with the code, until somebody resumes it |
/// | [`After`](tenancy_core::Retry::After) | tries again after that time, 10 ms at least |
/// | [`Backoff`](tenancy_core::Retry::Backoff): `Unavailable`, if nothing else is said | tries again, later each time |
///
/// With either of the last two a [`Conflict`](crate::ErrorKind::Conflict) says that the receiver refused what it was
/// given and may take it another time: the fifth failure in a row, and any after it, parks the stream if it is one.
/// Nothing is passed over.
///
/// # Cancellation
/// A dropped call has delivered or not; the same entries are given again.
///
/// # For implementors
/// Entries may come more than once: hand on the id of each, by which a receiver tells.
/// `tenancy_audit::testing::conformance::stream_target` is the suite.
///
/// ```
/// use std::sync::Mutex;
///
/// use async_trait::async_trait;
/// use tenancy_audit::{AuditEntryId, Entry, Error, ErrorKind, StreamTarget};
/// use tenancy_core::Retry;
///
/// /// A receiver with a limit, which says so in its way.
/// struct Ledger {
///     limit: usize,
///     taken: Mutex<Vec<AuditEntryId>>,
/// }
///
/// #[async_trait]
/// impl StreamTarget for Ledger {
///     async fn deliver(&self, entries: &[Entry]) -> Result<usize, Error> {
///         if self.limit == 0 {
///             // Trying again does not help: the stream is parked.
///             return Err(Error::new(ErrorKind::Conflict, "ledger_closed", "the ledger is closed"));
///         }
///         let Ok(mut taken) = self.taken.try_lock() else {
///             let error = Error::new(ErrorKind::Conflict, "ledger_in_use", "somebody writes in it");
///             return Err(error.with_retry(Retry::Backoff));
///         };
///         let some = entries.len().min(self.limit);
///         taken.extend(entries.iter().take(some).map(|entry| entry.id));
///         Ok(some)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let closed = Ledger { limit: 0, taken: Mutex::default() };
/// let error = closed.deliver(&[]).await.unwrap_err();
/// assert_eq!((error.code(), error.retry()), ("ledger_closed", Retry::Never));
/// # }
/// ```
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait StreamTarget: Send + Sync + 'static {
    /// Delivers from the front, and answers how many.
    async fn deliver(&self, entries: &[Entry]) -> Result<usize, Error>;
}
