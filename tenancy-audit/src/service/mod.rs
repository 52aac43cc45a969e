//! The use cases: they talk to ports and know no SQL.

mod adoption;
mod anchors;
mod buffered;
mod export;
mod log;
mod lost;
mod prepare;
mod proof_export;
mod proofs;
mod retention;
mod sealer;
mod stream;
mod subjects;
mod tail;
mod unsealed;
mod verify;
mod writer;

pub use adoption::{Adopted, Adopter};
pub use buffered::{BufferOptions, BufferStats, BufferedAudit, Overflow};
pub use export::Export;
pub use log::{AuditLog, Verification};
pub use proof_export::ProofExport;
pub use proofs::{AuditProofs, OperatorProofs};
pub use retention::{
    Applied, DetailRule, LogHolds, MonthDropped, Retention, RetentionFailure, RetentionPolicies,
    RetentionPolicy, RetentionRule, Undelivered,
};
pub use sealer::{AuditHealth, SealOptions, Sealed, Sealer};
pub use stream::{AuditStream, StreamOptions, StreamRound, StreamStart, StreamState, Streams};
pub use tail::Tail;
pub use verify::{Fault, Finding, LogAdoption, ProofReport, Verifier};
pub use writer::AuditWriter;

tenancy_core::permissions! {
    /// The permissions that this crate's services ask for.
    pub mod perm {
        AuditRead = "audit.read", "search the audit log and verify its entries", [];
        AuditExport = "audit.export", "export the audit log", [];
    }
}
