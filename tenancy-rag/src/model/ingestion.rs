//! The life of an upload.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenancy_core::RoleKey;

use crate::{Amount, DocId, IngestionId, SourceId};

/// How far an ingestion is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Its bytes are coming in.
    Receiving,
    /// All bytes are here; nobody works on it.
    Queued,
    /// The text is taken out of the upload.
    Extracting,
    /// The text is cut into chunks.
    Chunking,
    /// Chunks without a vector get one.
    Embedding,
    /// The new version takes the place of the old one.
    Publishing,
    /// The document can be found.
    Done,
    /// It was given up; nothing of it is stored.
    Failed,
}

impl Stage {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Queued => "queued",
            Self::Extracting => "extracting",
            Self::Chunking => "chunking",
            Self::Embedding => "embedding",
            Self::Publishing => "publishing",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Self::Receiving,
            Self::Queued,
            Self::Extracting,
            Self::Chunking,
            Self::Embedding,
            Self::Publishing,
            Self::Done,
            Self::Failed,
        ]
        .into_iter()
        .find(|stage| stage.as_str() == text)
    }

    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// The counters of an ingestion.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// Where it is.
    pub stage: Stage,
    /// Bytes received.
    pub bytes: i64,
    /// Chunks that the document has; 0 until it is cut.
    pub chunks: i32,
    /// Chunks that have a vector, whether new or known.
    pub ready: i32,
    /// Distinct texts that an embedder was asked for.
    pub embedded: i32,
    /// Calls of the embedder.
    pub calls: i32,
    /// Calls that were tried again.
    pub retries: i32,
}

impl Progress {
    pub(crate) fn new(stage: Stage) -> Self {
        Self {
            stage,
            bytes: 0,
            chunks: 0,
            ready: 0,
            embedded: 0,
            calls: 0,
            retries: 0,
        }
    }
}

/// Why an ingestion was given up.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IngestionFailure {
    /// The error's stable code.
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
}

impl IngestionFailure {
    pub(crate) fn new(code: String, message: String) -> Self {
        Self { code, message }
    }
}

/// An ingestion as it is stored.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ingestion {
    /// Which one.
    pub id: IngestionId,
    /// The source of its document.
    pub source: SourceId,
    /// Where its document comes from.
    pub uri: String,
    /// The document's title.
    pub title: String,
    /// What kind of file it is.
    pub media_type: String,
    /// Who may read the document.
    pub allowed_roles: Vec<RoleKey>,
    /// How far it is.
    pub progress: Progress,
    /// What it has reserved of the quota until it ends.
    pub held: Amount,
    /// What it led to, when it is done.
    pub ingested: Option<Ingested>,
    /// Why it was given up.
    pub failure: Option<IngestionFailure>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When something happened last.
    pub updated_at: DateTime<Utc>,
}

/// A document that can be found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ingested {
    /// The ingestion that led to it.
    pub ingestion: IngestionId,
    /// The document.
    pub doc: DocId,
    /// The version that is stored now. The same as before where nothing changed.
    pub version: i32,
    /// How many chunks it has.
    pub chunks: i32,
    /// How many texts were sent to the embedder: 0 where nothing changed.
    pub embedded: i32,
}

/// Bounds of one document and of the work on it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IngestLimits {
    /// The size of an upload in bytes; 16 MiB by default.
    pub max_bytes: u64,
    /// Chunks of one document; 20,000 by default.
    pub max_chunks: usize,
    /// Texts in one call of the embedder; 64 by default.
    pub batch: usize,
    /// How often a batch is tried in all; 4 by default.
    pub attempts: u32,
    /// How long nobody may work on an ingestion before it is given up; an hour by default.
    pub lease: std::time::Duration,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
            max_chunks: 20_000,
            batch: 64,
            attempts: 4,
            lease: std::time::Duration::from_hours(1),
        }
    }
}

impl IngestLimits {
    /// Bounds the size of an upload.
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Bounds the chunks of one document.
    pub fn with_max_chunks(mut self, chunks: usize) -> Self {
        self.max_chunks = chunks;
        self
    }

    /// Sets how many texts go into one call of the embedder.
    pub fn with_batch(mut self, texts: usize) -> Self {
        self.batch = texts.max(1);
        self
    }

    /// Bounds how often a batch is tried.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets how long nobody may work on an ingestion before it is given up.
    pub fn with_lease(mut self, lease: std::time::Duration) -> Self {
        self.lease = lease;
        self
    }
}
