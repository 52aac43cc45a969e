use async_trait::async_trait;
use tenancy_core::TenantCtx;

use crate::Error;

/// Scores passages against a question, better than the angle between two vectors does.
///
/// # Contract
/// One finite score for each passage, in the same order; higher is better. It is given only what
/// the caller may read, and it can't add to it.
///
/// # Concurrency
/// Any number of calls at once.
///
/// # Errors and retry
/// An error fails the search.
///
/// # Cancellation
/// A dropped call leaves nothing behind.
///
/// # For implementors
/// The number of scores and their finiteness are checked on every answer.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Reranker: Send + Sync + 'static {
    /// The scores of these passages.
    async fn score(
        &self,
        ctx: &TenantCtx,
        query: &str,
        passages: &[String],
    ) -> Result<Vec<f32>, Error>;
}
