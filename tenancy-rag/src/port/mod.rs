//! The traits that a host may implement.
//!
//! Every port is object-safe, `Send + Sync + 'static`, and has no default methods. The stores
//! work in the caller's transaction and are honest about being shaped by Postgres; what they show
//! is bounded by the roles bound to that transaction.

mod byte_source;
mod chunk_store;
mod chunker;
mod document_store;
mod embedder;
mod extractor;
mod ingestion_store;
mod reranker;

pub use byte_source::{ByteSource, FileBytes, MemoryBytes};
pub use chunk_store::{ChunkStore, Publication, Standing, VectorQuery};
pub use chunker::Chunker;
pub use document_store::{DocumentStore, KnownDocument};
pub use embedder::{Embedder, Purpose};
pub use extractor::{Extractor, Upload};
pub use ingestion_store::{IngestionStore, StagedVector};
pub use reranker::Reranker;

#[cfg(feature = "testing")]
pub use self::{
    chunk_store::MockChunkStore, chunker::MockChunker, document_store::MockDocumentStore,
    embedder::MockEmbedder, extractor::MockExtractor, ingestion_store::MockIngestionStore,
    reranker::MockReranker,
};
