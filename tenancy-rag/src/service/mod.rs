//! The use cases: they talk to ports and know no SQL.

mod access;
mod documents;
mod folder;
mod handler;
mod ingestor;
mod quotas;
mod retriever;

pub use documents::Documents;
pub use folder::{FolderOptions, FolderReport};
pub use handler::IngestHandler;
pub use ingestor::{Ingestor, Watch};
pub use quotas::Quotas;
pub use retriever::Retriever;

tenancy_core::permissions! {
    /// The permissions that this crate's services ask for. What a member may read is said by his
    /// roles beside them.
    pub mod perm {
        KbRead = "kb.read", "ask the knowledge base", [member, support, viewer];
        KbWrite = "kb.write", "add, replace and remove documents", [member];
        KbManage = "kb.manage", "write to every source, and say who else may", [];
    }
}
