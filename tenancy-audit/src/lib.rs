#![doc = include_str!("../README.md")]

mod adapter;
mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "http-client")]
pub use adapter::HttpAnchor;
#[cfg(feature = "webhooks")]
pub use adapter::WebhookTarget;
pub use adapter::{Ed25519Signer, FileAnchor};
pub use error::{Error, ErrorKind};
#[cfg(feature = "schema")]
pub use model::EventSchemas;
pub use model::merkle;
pub use model::{
    ActionFilter, ActionPrefix, ActorFilter, AuditEntryId, AuditQuery, Change, ConsistencyProof,
    CountBy, Counts, Cursor, Draft, Entry, EntryKey, Erasure, ExportFormat, Filter, Followed,
    InclusionProof, IpRange, Limits, Mark, Masked, Order, Oversize, Page, QueryError, Record,
    RecordedActor, Redaction, ResourceFilter, Seal, SealHead, SealKey, SealKeys, SealSignature,
    SearchText, TimeRange, Verdict,
};
pub use port::{AuditStore, SealAnchor, SealSigner, StreamTarget};
#[cfg(feature = "testing")]
pub use port::{MockAuditStore, MockSealAnchor, MockSealSigner, MockStreamTarget};
pub use postgres::{
    APPEND_ONLY, COMPONENT, IdempotencyKeys, MonthMade, Partition, PartitionState, Partitions,
    PgAuditLog, PgAuditStore,
};
pub use service::{
    Adopted, Adopter, Applied, AuditHealth, AuditLog, AuditProofs, AuditStream, AuditWriter,
    BufferOptions, BufferStats, BufferedAudit, DetailRule, Export, Fault, Finding, LogAdoption,
    LogHolds, MonthDropped, OperatorProofs, Overflow, ProofExport, ProofReport, Retention,
    RetentionFailure, RetentionPolicies, RetentionPolicy, RetentionRule, SealOptions, Sealed,
    Sealer, StreamOptions, StreamRound, StreamStart, StreamState, Streams, Tail, Undelivered,
    Verification, Verifier, perm,
};
