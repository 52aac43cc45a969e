//! Plain values and pure logic, without input or output.

mod canonical;
mod cursor;
mod entry;
mod limits;
mod ndjson;
mod number;
mod personal;
mod query;
mod redact;
mod sanitize;
mod search;
mod verdict;

pub use cursor::Cursor;
pub use entry::{AuditEntryId, Entry, Record, RecordedActor, SCHEMA_VERSION};
pub use limits::{Limits, Oversize};
pub use query::{
    ActionFilter, ActionPrefix, ActorFilter, AuditQuery, Order, Page, ResourceFilter, TimeRange,
};
pub use redact::Redaction;
pub use verdict::{Change, Verdict};

pub(crate) use entry::{resource_of, targets_json};
pub(crate) use ndjson::line as ndjson_line;
pub(crate) use personal::{Personal, SALT_LEN};
pub(crate) use redact::Place;
pub(crate) use sanitize::Sanitizer;
