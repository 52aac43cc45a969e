#![doc = include_str!("../README.md")]

mod adapter;
mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "axum")]
pub mod http;
#[cfg(feature = "testing")]
pub mod testing;

pub use adapter::*;
pub use error::{Error, ErrorKind};
pub use model::*;
pub use port::*;
pub use postgres::{
    COMPONENT, GLOBAL_HNSW, IndexHealth, IndexOptions, IndexScope, PgKnowledgeBase,
    build_tenant_index, drop_tenant_index, index_candidates, index_health,
};
pub use service::{
    Documents, FolderOptions, FolderReport, IngestHandler, Ingestor, Quotas, Retriever, Watch, perm,
};
