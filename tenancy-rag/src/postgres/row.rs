//! Rows, and how they become values.

use std::ops::Range;

use chrono::{DateTime, Utc};
use tenancy_core::RoleKey;

use crate::{
    Amount, ChunkId, Citation, DocId, Document, Error, ErrorKind, Hit, Ingested, Ingestion,
    IngestionFailure, IngestionId, Progress, SourceId, Stage, model::Stored,
};

pub(super) fn unexpected(what: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        "unexpected_row",
        format!("{what} of a row is unexpected"),
    )
}

pub(super) fn texts(roles: &[RoleKey]) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

pub(super) fn roles(texts: Vec<String>) -> Result<Vec<RoleKey>, Error> {
    texts
        .into_iter()
        .map(|text| Ok(RoleKey::parse(text)?))
        .collect()
}

fn hash(bytes: &[u8]) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|_| unexpected("a hash"))
}

fn range(start: i32, end: i32) -> Result<Range<u32>, Error> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(start..end),
        _ => Err(unexpected("a range")),
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct HitRow {
    chunk_id: ChunkId,
    content: String,
    distance: f64,
    doc_id: DocId,
    version: i32,
    uri: String,
    title: String,
    byte_start: i32,
    byte_end: i32,
    origin_start: Option<i32>,
    origin_end: Option<i32>,
    page: Option<i32>,
    heading: Option<String>,
}

impl TryFrom<HitRow> for Hit {
    type Error = Error;

    fn try_from(row: HitRow) -> Result<Self, Error> {
        let origin = match (row.origin_start, row.origin_end) {
            (Some(start), Some(end)) => Some(range(start, end)?),
            _ => None,
        };
        #[expect(clippy::cast_possible_truncation, reason = "a cosine needs no 64 bits")]
        let score = (1.0 - row.distance) as f32;
        Ok(Self {
            chunk: row.chunk_id,
            text: row.content,
            score,
            citation: Citation {
                doc: row.doc_id,
                version: row.version,
                uri: row.uri,
                title: row.title,
                bytes: range(row.byte_start, row.byte_end)?,
                origin,
                page: row.page.and_then(|page| u32::try_from(page).ok()),
                heading: row.heading,
            },
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct StoredRow {
    id: ChunkId,
    ordinal: i32,
    byte_start: i32,
    byte_end: i32,
    content_hash: Vec<u8>,
}

impl TryFrom<StoredRow> for Stored {
    type Error = Error;

    fn try_from(row: StoredRow) -> Result<Self, Error> {
        let bytes = row.byte_start..row.byte_end;
        Ok(Self {
            id: row.id,
            ordinal: row.ordinal,
            bytes,
            hash: hash(&row.content_hash)?,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct DocumentRow {
    id: DocId,
    source_id: SourceId,
    uri: String,
    title: String,
    media_type: String,
    version: i32,
    bytes: i64,
    chunk_count: i32,
    allowed_roles: Vec<String>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<DocumentRow> for Document {
    type Error = Error;

    fn try_from(row: DocumentRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            source: row.source_id,
            uri: row.uri,
            title: row.title,
            media_type: row.media_type,
            version: row.version,
            bytes: row.bytes,
            chunks: row.chunk_count,
            allowed_roles: roles(row.allowed_roles)?,
            updated_at: row.updated_at,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct IngestionRow {
    id: IngestionId,
    source_id: SourceId,
    uri: String,
    title: String,
    media_type: String,
    allowed_roles: Vec<String>,
    stage: String,
    bytes_received: i64,
    chunks_total: i32,
    chunks_ready: i32,
    chunks_embedded: i32,
    embed_calls: i32,
    embed_retries: i32,
    held_bytes: i64,
    held_docs: i64,
    held_chunks: i64,
    doc_id: Option<DocId>,
    doc_version: Option<i32>,
    error_code: Option<String>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<IngestionRow> for Ingestion {
    type Error = Error;

    fn try_from(row: IngestionRow) -> Result<Self, Error> {
        let ingested = row
            .doc_id
            .zip(row.doc_version)
            .map(|(doc, version)| Ingested {
                ingestion: row.id,
                doc,
                version,
                chunks: row.chunks_total,
                embedded: row.chunks_embedded,
            });
        let failure = row
            .error_code
            .map(|code| IngestionFailure::new(code, row.error_message.unwrap_or_default()));
        Ok(Self {
            id: row.id,
            source: row.source_id,
            uri: row.uri,
            title: row.title,
            media_type: row.media_type,
            allowed_roles: roles(row.allowed_roles)?,
            progress: Progress {
                stage: Stage::parse(&row.stage).ok_or_else(|| unexpected("the stage"))?,
                bytes: row.bytes_received,
                chunks: row.chunks_total,
                ready: row.chunks_ready,
                embedded: row.chunks_embedded,
                calls: row.embed_calls,
                retries: row.embed_retries,
            },
            held: Amount::new(row.held_bytes, row.held_docs, row.held_chunks),
            ingested,
            failure,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
