//! Batches that are done in steps.

use serde_json::Value;

/// How far a batch is, and where it goes on.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Items done so far.
    pub done: u64,
    /// Items in all, if the handler counted them.
    pub total: Option<u64>,
    /// What the handler wrote after the last step: where the next one begins. `None` at the start.
    pub cursor: Option<Value>,
}

impl Checkpoint {
    /// A checkpoint at this cursor.
    pub fn new(done: u64, total: Option<u64>, cursor: Option<Value>) -> Self {
        Self {
            done,
            total,
            cursor,
        }
    }

    /// The checkpoint after `items` more.
    pub(crate) fn advanced(&self, items: u64, cursor: Option<Value>) -> Self {
        Self {
            done: self.done.saturating_add(items),
            total: self.total,
            cursor,
        }
    }
}

/// What one step of a batch did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Chunk {
    /// It was the last one.
    End {
        /// How many items it did.
        items: u64,
        /// The job's result.
        result: Value,
    },
    /// There is more.
    More {
        /// How many items it did.
        items: u64,
        /// Where the next step begins.
        cursor: Value,
    },
}

impl Chunk {
    /// A step after which there is more to do, from `cursor` on.
    pub fn more(items: u64, cursor: impl Into<Value>) -> Self {
        Self::More {
            items,
            cursor: cursor.into(),
        }
    }

    /// The last step.
    pub fn end(items: u64, result: impl Into<Value>) -> Self {
        Self::End {
            items,
            result: result.into(),
        }
    }
}
