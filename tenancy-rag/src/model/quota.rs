//! How much a tenant may store.

use serde::Serialize;

/// An amount of what is counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Amount {
    /// Bytes of uploads.
    pub bytes: i64,
    /// Documents.
    pub docs: i64,
    /// Chunks.
    pub chunks: i64,
}

impl Amount {
    /// Bytes, documents and chunks, in this order.
    pub fn new(bytes: i64, docs: i64, chunks: i64) -> Self {
        Self {
            bytes,
            docs,
            chunks,
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes - other.bytes,
            docs: self.docs - other.docs,
            chunks: self.chunks - other.chunks,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            docs: self.docs + other.docs,
            chunks: self.chunks + other.chunks,
        }
    }
}

/// The most that a tenant may store. An upload that replaces a document needs room for both until
/// the switch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of uploads; 1 GiB by default.
    pub bytes: i64,
    /// Documents; 10,000 by default.
    pub docs: i64,
    /// Chunks; 200,000 by default.
    pub chunks: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            docs: 10_000,
            chunks: 200_000,
        }
    }
}

impl Limits {
    /// Bounds the bytes of uploads.
    pub fn with_bytes(mut self, bytes: i64) -> Self {
        self.bytes = bytes.max(0);
        self
    }

    /// Bounds the number of documents.
    pub fn with_docs(mut self, docs: i64) -> Self {
        self.docs = docs.max(0);
        self
    }

    /// Bounds the number of chunks.
    pub fn with_chunks(mut self, chunks: i64) -> Self {
        self.chunks = chunks.max(0);
        self
    }
}

/// A tenant's limits, and how much of them is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Quota {
    /// The most that may be stored.
    pub limits: Limits,
    /// What is stored.
    pub used: Amount,
    /// What running ingestions have reserved.
    pub held: Amount,
}

impl Quota {
    /// Which limit stands in the way of `more`, as a name and its number.
    pub(crate) fn obstacle(&self, more: Amount) -> (&'static str, i64) {
        let taken = self.used.plus(self.held).plus(more);
        if taken.bytes > self.limits.bytes {
            ("bytes", self.limits.bytes)
        } else if taken.docs > self.limits.docs {
            ("documents", self.limits.docs)
        } else {
            ("chunks", self.limits.chunks)
        }
    }

    pub(crate) fn new(limits: Limits, used: Amount, held: Amount) -> Self {
        Self { limits, used, held }
    }
}
