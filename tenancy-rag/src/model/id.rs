//! Identifiers.

use tenancy_core::uuid_id;

uuid_id! {
    /// Identifies a source: a named collection of documents.
    pub struct SourceId;
}
uuid_id! {
    /// Identifies a document through all its versions.
    pub struct DocId;
}
uuid_id! {
    /// Identifies a chunk for as long as its text stays the same.
    pub struct ChunkId;
}
uuid_id! {
    /// Identifies one run of an upload through extraction, chunking and embedding.
    pub struct IngestionId;
}
