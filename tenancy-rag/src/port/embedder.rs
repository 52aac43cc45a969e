use async_trait::async_trait;
use tenancy_core::TenantCtx;

use crate::{EmbeddingModel, Error};

/// What a text is embedded for. Some models put the two kinds into the same space differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Purpose {
    /// A part of a document, to be found.
    Passage,
    /// A question, to find parts of documents with.
    Query,
}

/// Turns texts into vectors.
///
/// # Contract
/// One vector for each text, in the same order, each of the model's dimensions, finite and not all
/// zero: [`check_vectors`](crate::check_vectors) is run on every answer. [`model`](Self::model)
/// never changes during the life of the value; another model has another name. No text is logged
/// or repeated in an error.
///
/// # Concurrency
/// Any number of calls at once.
///
/// # Errors and retry
/// [`Error::retry`] says whether a batch may be tried again, and after how long. A batch fails as
/// a whole.
///
/// # Cancellation
/// A dropped call may still be paid for; it leaves nothing behind.
///
/// # For implementors
/// `tenancy_rag::testing::conformance::embedder` is the suite. The context is there for keys that
/// belong to the tenant.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Embedder: Send + Sync + 'static {
    /// The model whose vectors these are.
    fn model(&self) -> EmbeddingModel;

    /// The vectors of these texts.
    async fn embed(
        &self,
        ctx: &TenantCtx,
        texts: &[String],
        purpose: Purpose,
    ) -> Result<Vec<Vec<f32>>, Error>;
}
