#![cfg_attr(
    feature = "testing",
    expect(
        clippy::struct_field_names,
        reason = "the mock's fields are named like the methods"
    )
)]

use async_trait::async_trait;
use tenancy_core::{RoleKey, TenantTx};

use crate::{
    Chunk, Citation, Corpus, DocId, EmbeddingModel, Error, Extracted, Hit, Ingestion, Passage,
    SearchPath, SourceId,
};

/// What a search has to know before it begins.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// The generation of vectors that searches look at.
    pub generation: i32,
    /// The model those vectors come from.
    pub model: EmbeddingModel,
    /// How many chunks there are.
    pub corpus: Corpus,
}

impl Standing {
    /// Puts it together.
    pub fn new(generation: i32, model: EmbeddingModel, corpus: Corpus) -> Self {
        Self {
            generation,
            model,
            corpus,
        }
    }
}

/// A search by a vector.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VectorQuery {
    /// The question, as wide as the column.
    pub vector: Vec<f32>,
    /// Which generation of vectors.
    pub generation: i32,
    /// The caller's roles: asked for beside what the transaction is bound to.
    pub roles: Vec<RoleKey>,
    /// Only documents of this source.
    pub source: Option<SourceId>,
    /// How many chunks at most.
    pub k: u16,
    /// Which way.
    pub path: SearchPath,
    /// How many chunks the way proposes.
    pub candidates: i64,
}

/// A version of a document that is ready to be seen.
#[derive(Debug)]
#[non_exhaustive]
pub struct Publication {
    /// The ingestion that made it; its staged vectors are the ones to use.
    pub ingestion: Ingestion,
    /// SHA-256 of the upload.
    pub content_hash: [u8; 32],
    /// The size of the upload in bytes.
    pub bytes: i64,
    /// The generation of the vectors.
    pub generation: i32,
    /// The text that citations count bytes in.
    pub text: Extracted,
    /// The upload, where it is not the text itself.
    pub original: Option<Vec<u8>>,
    /// Its chunks, in the order of the text.
    pub chunks: Vec<Chunk>,
}

impl Publication {
    pub(crate) fn new(
        ingestion: Ingestion,
        content_hash: [u8; 32],
        generation: i32,
        text: Extracted,
        chunks: Vec<Chunk>,
    ) -> Self {
        let bytes = ingestion.progress.bytes;
        Self {
            ingestion,
            content_hash,
            bytes,
            generation,
            text,
            original: None,
            chunks,
        }
    }

    pub(crate) fn with_original(mut self, original: Option<Vec<u8>>) -> Self {
        self.original = original;
        self
    }
}

/// Keeps chunks, and finds those that a caller may see.
///
/// # Contract
/// What a search or an opening shows is bounded by the roles bound to the transaction: no roles
/// are no rows. [`publish_in`](Self::publish_in) puts the new version in the place of the old one
/// in the caller's transaction; until that commits readers see the old one whole, afterwards the
/// new one whole. Chunks whose text is the same keep their identifier and their vector.
///
/// # Concurrency
/// Two publications of one document at once end one after the other.
///
/// # Errors and retry
/// [`Conflict`](crate::ErrorKind::Conflict) with the code `vectors_missing` when a vector that was
/// counted on is gone: embed what is missing, and try again.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Shaped by Postgres; the tests of this crate are its suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ChunkStore: Send + Sync + 'static {
    /// The tenant's vectors; `None` before the first document. What is dear to count is counted
    /// only for a tenant of at least `count_from` chunks.
    async fn standing_in(
        &self,
        tx: &mut TenantTx,
        count_from: i64,
    ) -> Result<Option<Standing>, Error>;

    /// The nearest chunks, best first.
    async fn search_in(&self, tx: &mut TenantTx, query: &VectorQuery) -> Result<Vec<Hit>, Error>;

    /// What a citation points at; `None` if the caller may not see it or it is gone.
    async fn open_in(
        &self,
        tx: &mut TenantTx,
        citation: &Citation,
    ) -> Result<Option<Passage>, Error>;

    /// Puts a version in the place of the one before; answers document, version and the
    /// difference in stored bytes, documents and chunks.
    async fn publish_in(
        &self,
        tx: &mut TenantTx,
        publication: &Publication,
    ) -> Result<(DocId, i32, crate::Amount), Error>;
}
