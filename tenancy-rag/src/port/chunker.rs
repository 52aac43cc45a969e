use std::ops::Range;

use crate::{Error, Extracted};

/// Says where to cut a text.
///
/// # Contract
/// Byte ranges of the text: not empty, at boundaries of characters, ordered by their beginnings.
/// They may leave white space out and may overlap. The same text gives the same ranges, and a
/// change in one place should move the cuts near it only: what stays the same is not embedded
/// again.
///
/// # Concurrency
/// Any number of calls at once, on threads that may block.
///
/// # Errors and retry
/// A text that can't be cut is [`InvalidInput`](crate::ErrorKind::InvalidInput).
///
/// # Cancellation
/// None: a call runs to its end.
///
/// # For implementors
/// `tenancy_rag::testing::conformance::chunker` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
pub trait Chunker: Send + Sync + 'static {
    /// The ranges of the chunks.
    fn chunk(&self, text: &Extracted) -> Result<Vec<Range<usize>>, Error>;
}
