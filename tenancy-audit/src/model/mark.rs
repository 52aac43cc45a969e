//! What was in the log at one moment.

use serde::{Deserialize, Serialize};

use super::entry::Entry;

/// What was in a tenant's log at one moment: what was committed, not what had the smaller id or the
/// earlier time. Opaque; only the store that made it can read it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Mark(String);

impl Mark {
    /// For stores: a mark that they can read.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For stores: what they wrote.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was committed between two marks, or a part of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Followed {
    /// The entries, in the order of their transactions.
    pub entries: Vec<Entry>,
    /// What to follow from next.
    pub mark: Mark,
    /// Whether more is there already.
    pub more: bool,
}

impl Followed {
    /// For stores: entries, and what to follow from next.
    pub fn new(entries: Vec<Entry>, mark: Mark, more: bool) -> Self {
        Self {
            entries,
            mark,
            more,
        }
    }
}
