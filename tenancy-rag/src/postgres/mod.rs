//! The adapter: everything that knows SQL.

mod chunk_store;
mod component;
mod document_store;
mod index;
mod index_ddl;
mod ingestion_store;
mod publish;
mod row;

pub use component::{COMPONENT, GLOBAL_HNSW};
pub use index::{
    IndexHealth, IndexOptions, IndexScope, build_tenant_index, drop_tenant_index, index_candidates,
    index_health,
};

/// The stores of this crate on Postgres with pgvector.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PgKnowledgeBase;

impl PgKnowledgeBase {
    /// Works in whatever transaction it is given.
    pub fn new() -> Self {
        Self
    }
}
