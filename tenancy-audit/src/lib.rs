#![doc = include_str!("../README.md")]

mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "axum")]
pub mod http;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind};
pub use model::{
    ActionFilter, ActionPrefix, ActorFilter, AuditEntryId, AuditQuery, Change, Cursor, Entry,
    Limits, Order, Oversize, Page, Record, RecordedActor, Redaction, ResourceFilter,
    SCHEMA_VERSION, TimeRange, Verdict,
};
pub use port::AuditStore;
#[cfg(feature = "testing")]
pub use port::MockAuditStore;
pub use postgres::{COMPONENT, Partition, PartitionState, Partitions, PgAuditLog, PgAuditStore};
pub use service::{
    AuditLog, AuditWriter, BufferOptions, BufferStats, BufferedAudit, Export, Overflow,
    Verification, perm,
};
