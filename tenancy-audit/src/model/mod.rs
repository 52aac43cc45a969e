//! Plain values and pure logic, without input or output.

mod canonical;
mod cursor;
mod entry;
mod limits;
pub mod merkle;
mod ndjson;
mod number;
mod personal;
mod proof_line;
mod query;
mod redact;
mod sanitize;
mod seal;
mod sealed_personal;
mod search;
mod verdict;

pub use cursor::Cursor;
pub use entry::{AuditEntryId, Entry, Record, RecordedActor, SCHEMA_VERSION};
pub use limits::{Limits, Oversize};
pub use query::{
    ActionFilter, ActionPrefix, ActorFilter, AuditQuery, Order, Page, ResourceFilter, TimeRange,
};
pub use redact::Redaction;
pub use seal::{
    ConsistencyProof, InclusionProof, MAX_SEALED, Removal, Seal, SealHead, SealKey, SealKeys,
    SealSignature, SealedAs,
};
pub use verdict::{Change, Verdict};

pub(crate) use entry::{resource_of, targets_json};
pub(crate) use ndjson::line as ndjson_line;
pub(crate) use personal::{Personal, SALT_LEN};
pub(crate) use proof_line::{End, EntryLine, FORMAT, Header, ProofLine, SealLine};
pub(crate) use redact::Place;
pub(crate) use sanitize::Sanitizer;
pub(crate) use seal::{
    Batch, Chain, LEAF_RECORD, Leaf, MAX_REASON, Ranges, invalid_key, named_key,
};
pub(crate) use sealed_personal::{SEALED, SealedDetails};
