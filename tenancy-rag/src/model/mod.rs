//! Plain values and pure logic, without input or output.

mod diff;
mod document;
mod hit;
mod id;
mod ingestion;
mod media;
mod path;
mod patience;
mod quota;
mod text;
mod vector;

pub(crate) use diff::{Diff, Stored};
pub use document::{DocUri, Document, NewDocument, Source, SourceName, Title};
pub(crate) use document::{readers, role_set};
pub use hit::{Citation, Hit, Passage, RetrieveOptions, Retrieved};
pub use id::{ChunkId, DocId, IngestionId, SourceId};
pub use ingestion::{IngestLimits, Ingested, Ingestion, IngestionFailure, Progress, Stage};
pub use media::MediaType;
pub use path::{Corpus, PathPolicy, SearchPath};
pub(crate) use patience::Patience;
pub use quota::{Amount, Limits, Quota};
pub(crate) use text::cut;
pub use text::{Chunk, Extracted, Heading, Markup, Origins, Run};
pub(crate) use vector::padded;
pub use vector::{EmbeddingModel, MAX_DIMENSIONS, check_vectors};
