use tenancy_core::migrate::{Component, Migration};

use crate::service::perm;

/// The crate's part of the schema. It needs the extension `vector`, 0.8.4 or newer.
pub const COMPONENT: Component = Component::new("rag", STEPS)
    .with_requires(&["core"])
    .with_extensions(&["vector"])
    .with_permissions(perm::ALL);

const STEPS: &[Migration] = &[Migration::new(
    1,
    "knowledge base",
    include_str!("../../migrations/0001_knowledge_base.sql"),
)];

/// One HNSW over the chunks of all tenants, for a host that wants it all the same.
///
/// The retriever never chooses it by itself; it is used where
/// [`SearchPath::Hnsw`](crate::SearchPath::Hnsw) is asked for and the tenant has no index of its
/// own. Tenant and roles are filtered *behind* it: measured on 80,000 chunks of 200 tenants, its
/// defaults found 53 % of the ten nearest chunks, and 36 % of the questions got no answer at all.
/// It also makes every write of every tenant dearer, and the removal of a tenant slow.
pub const GLOBAL_HNSW: Component = Component::new("rag_global_hnsw", GLOBAL_STEPS)
    .with_requires(&["rag"])
    .with_extensions(&["vector"]);

const GLOBAL_STEPS: &[Migration] = &[Migration::new(
    1,
    "global hnsw",
    include_str!("../../migrations/global_hnsw/0001_index.sql"),
)];
