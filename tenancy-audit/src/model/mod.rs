//! Plain values and pure logic, without input or output.

mod canonical;
mod counts;
mod cursor;
mod draft;
mod entry;
mod erasure;
mod filter;
mod format;
mod jsonb_text;
mod language;
mod limits;
mod line;
mod log_tree;
mod mark;
pub mod merkle;
mod number;
mod personal;
mod proof_document;
mod proof_line;
mod query;
mod redact;
mod sanitize;
#[cfg(feature = "schema")]
mod schema;
mod seal;
mod sealed_personal;
mod search;
mod strict;
mod verdict;

pub use counts::{CountBy, Counts};
pub use cursor::Cursor;
pub use draft::{Draft, EntryKey};
pub use entry::{AuditEntryId, Entry, Record, RecordedActor};
pub use erasure::Erasure;
pub use filter::{Filter, IpRange, SearchText};
pub use format::ExportFormat;
pub use language::QueryError;
pub use limits::{Limits, Oversize};
pub use mark::{Followed, Mark};
pub use query::{
    ActionFilter, ActionPrefix, ActorFilter, AuditQuery, Order, Page, ResourceFilter, TimeRange,
};
pub use redact::{Masked, Redaction};
#[cfg(feature = "schema")]
pub use schema::EventSchemas;
pub use seal::{
    ConsistencyProof, InclusionProof, Seal, SealHead, SealKey, SealKeys, SealSignature,
};
pub use verdict::{Change, Verdict};

pub(crate) use entry::{SCHEMA_VERSION, resource_of, targets_json};
pub(crate) use erasure::ERASED;
pub(crate) use filter::like;
pub(crate) use line::{EntrySeen, Scratch};
pub(crate) use log_tree::{Nodes, consistency_parts, needed, root_of};
pub(crate) use personal::{ORIGIN_DETAILS, Personal, SALT_LEN};
pub(crate) use proof_document::{
    InclusionDocument, ProofDocument, consistency_line, inclusion_line,
};
pub(crate) use proof_line::{Damaged, End, FORMAT, Header, LONGEST, ProofLine, SealLine, Unsealed};
pub(crate) use redact::Place;
pub(crate) use sanitize::Sanitizer;
#[cfg(feature = "schema")]
pub(crate) use schema::described;
pub(crate) use seal::{
    Adoption, Batch, Chain, Ends, LEAF_RECORD, Leaf, LostSeal, MAX_REASON, MAX_SEALED, Ranges,
    Removal, SealedAs, invalid_key, named_key,
};
pub(crate) use sealed_personal::{SEALED, SealedDetails, is_sealed, subject_hash};
pub(crate) use strict::{StrictTarget, numbers_are_exact, object, parse as parse_strict};
