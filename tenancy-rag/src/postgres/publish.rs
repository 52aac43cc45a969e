//! The switch from one version of a document to the next, inside the caller's transaction.

use tenancy_core::TenantTx;

use super::row::{self, StoredRow};
use crate::{
    Amount, Chunk, ChunkId, DocId, Error, ErrorKind, Publication,
    model::{Diff, Stored},
};

#[derive(Debug, sqlx::FromRow)]
struct Locked {
    id: DocId,
    version: i32,
    generation: i32,
    content_hash: Vec<u8>,
    bytes: i64,
    chunk_count: i32,
    title: String,
    media_type: String,
    allowed_roles: Vec<String>,
}

/// Rows sent in one statement.
const BATCH: usize = 1_000;

pub(super) async fn publish(
    tx: &mut TenantTx,
    publication: &Publication,
) -> Result<(DocId, i32, Amount), Error> {
    let stored = Amount::new(publication.bytes, 1, i64::from(count(publication)?));
    match lock(tx, publication).await? {
        None => {
            let doc = DocId::new();
            insert_doc(tx, publication, doc).await?;
            let all: Vec<usize> = (0..publication.chunks.len()).collect();
            insert_chunks(tx, publication, (doc, 1), &all).await?;
            insert_text(tx, publication, (doc, 1)).await?;
            Ok((doc, 1, stored))
        }
        Some(old) => {
            let before = Amount::new(old.bytes, 1, i64::from(old.chunk_count));
            let version = replace(tx, publication, &old).await?;
            Ok((old.id, version, stored.minus(before)))
        }
    }
}

async fn replace(tx: &mut TenantTx, publication: &Publication, old: &Locked) -> Result<i32, Error> {
    let diff = Diff::between(&chunks_of(tx, old.id).await?, &publication.chunks);
    if diff.same && unchanged(publication, old) {
        return Ok(old.version);
    }
    let place = (old.id, old.version + 1);
    // What is new is stored before anything goes: it may take its vector from what goes.
    insert_chunks(tx, publication, place, &diff.added).await?;
    move_chunks(tx, publication, place.1, &diff.kept).await?;
    delete_chunks(tx, &diff.removed).await?;
    insert_text(tx, publication, place).await?;
    update_doc(tx, publication, place).await?;
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/versions_delete_old.sql"))
        .bind(tenant)
        .bind(place.0)
        .bind(place.1)
        .execute(&mut **tx)
        .await?;
    Ok(place.1)
}

fn unchanged(publication: &Publication, old: &Locked) -> bool {
    let new = &publication.ingestion;
    old.content_hash == publication.content_hash
        && old.generation == publication.generation
        && old.title == new.title
        && old.media_type == new.media_type
        && old.allowed_roles == row::texts(&new.allowed_roles)
}

fn count(publication: &Publication) -> Result<i32, Error> {
    i32::try_from(publication.chunks.len()).map_err(|_| {
        Error::new(
            ErrorKind::Limit,
            "chunks_too_many",
            "there are too many chunks",
        )
    })
}

async fn lock(tx: &mut TenantTx, publication: &Publication) -> Result<Option<Locked>, Error> {
    let tenant = tx.ctx().tenant();
    Ok(sqlx::query_as(include_str!("sql/doc_lock.sql"))
        .bind(tenant)
        .bind(publication.ingestion.source)
        .bind(&publication.ingestion.uri)
        .fetch_optional(&mut **tx)
        .await?)
}

async fn chunks_of(tx: &mut TenantTx, doc: DocId) -> Result<Vec<Stored>, Error> {
    let tenant = tx.ctx().tenant();
    let rows: Vec<StoredRow> = sqlx::query_as(include_str!("sql/chunks_of_doc.sql"))
        .bind(tenant)
        .bind(doc)
        .fetch_all(&mut **tx)
        .await?;
    rows.into_iter().map(Stored::try_from).collect()
}

async fn insert_doc(tx: &mut TenantTx, new: &Publication, doc: DocId) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    let done = sqlx::query(include_str!("sql/doc_insert.sql"))
        .bind(tenant)
        .bind(doc)
        .bind(new.ingestion.source)
        .bind(&new.ingestion.uri)
        .bind(&new.ingestion.title)
        .bind(&new.ingestion.media_type)
        .bind(new.generation)
        .bind(new.content_hash.as_slice())
        .bind(new.bytes)
        .bind(count(new)?)
        .bind(row::texts(&new.ingestion.allowed_roles))
        .execute(&mut **tx)
        .await?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Conflict,
            "document_changed",
            "another upload of the document was faster",
        )
        .with_retry(tenancy_core::Retry::Backoff)),
    }
}

async fn update_doc(
    tx: &mut TenantTx,
    new: &Publication,
    (doc, version): (DocId, i32),
) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/doc_update.sql"))
        .bind(tenant)
        .bind(doc)
        .bind(&new.ingestion.title)
        .bind(&new.ingestion.media_type)
        .bind(version)
        .bind(new.generation)
        .bind(new.content_hash.as_slice())
        .bind(new.bytes)
        .bind(count(new)?)
        .bind(row::texts(&new.ingestion.allowed_roles))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn insert_text(
    tx: &mut TenantTx,
    new: &Publication,
    (doc, version): (DocId, i32),
) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/version_insert.sql"))
        .bind(tenant)
        .bind(doc)
        .bind(version)
        .bind(&new.text.text)
        .bind(&new.original)
        .bind(row::texts(&new.ingestion.allowed_roles))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// One array a column, for chunks at these places.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<ChunkId>,
    ordinals: Vec<i32>,
    starts: Vec<i32>,
    ends: Vec<i32>,
    origin_starts: Vec<Option<i32>>,
    origin_ends: Vec<Option<i32>>,
    pages: Vec<Option<i32>>,
    headings: Vec<Option<&'a str>>,
    contents: Vec<&'a str>,
    hashes: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, id: ChunkId, at: usize, chunk: &'a Chunk) {
        self.ids.push(id);
        self.ordinals.push(i32::try_from(at).unwrap_or(i32::MAX));
        self.starts.push(chunk.bytes.start);
        self.ends.push(chunk.bytes.end);
        self.origin_starts
            .push(chunk.origin.as_ref().map(|origin| origin.start));
        self.origin_ends
            .push(chunk.origin.as_ref().map(|origin| origin.end));
        self.pages.push(chunk.page);
        self.headings.push(chunk.heading.as_deref());
        self.contents.push(&chunk.content);
        self.hashes.push(&chunk.hash);
    }
}

async fn insert_chunks(
    tx: &mut TenantTx,
    new: &Publication,
    (doc, version): (DocId, i32),
    places: &[usize],
) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    for batch in places.chunks(BATCH) {
        let mut columns = Columns::default();
        for at in batch {
            if let Some(chunk) = new.chunks.get(*at) {
                columns.push(ChunkId::new(), *at, chunk);
            }
        }
        let done = sqlx::query(include_str!("sql/chunks_insert.sql"))
            .bind(tenant)
            .bind(new.ingestion.id)
            .bind(doc)
            .bind(version)
            .bind(new.generation)
            .bind(row::texts(&new.ingestion.allowed_roles))
            .bind(columns.ids)
            .bind(columns.ordinals)
            .bind(columns.starts)
            .bind(columns.ends)
            .bind(columns.origin_starts)
            .bind(columns.origin_ends)
            .bind(columns.pages)
            .bind(columns.headings)
            .bind(columns.contents)
            .bind(columns.hashes)
            .bind(new.ingestion.source)
            .execute(&mut **tx)
            .await?;
        if usize::try_from(done.rows_affected()) != Ok(batch.len()) {
            let message = "a vector that was known before is gone";
            return Err(Error::new(ErrorKind::Conflict, "vectors_missing", message)
                .with_retry(tenancy_core::Retry::Backoff));
        }
    }
    Ok(())
}

async fn move_chunks(
    tx: &mut TenantTx,
    new: &Publication,
    version: i32,
    kept: &[(ChunkId, usize)],
) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    for batch in kept.chunks(BATCH) {
        let mut columns = Columns::default();
        for (id, at) in batch {
            if let Some(chunk) = new.chunks.get(*at) {
                columns.push(*id, *at, chunk);
            }
        }
        sqlx::query(include_str!("sql/chunks_move.sql"))
            .bind(tenant)
            .bind(version)
            .bind(row::texts(&new.ingestion.allowed_roles))
            .bind(columns.ids)
            .bind(columns.ordinals)
            .bind(columns.starts)
            .bind(columns.ends)
            .bind(columns.origin_starts)
            .bind(columns.origin_ends)
            .bind(columns.pages)
            .bind(columns.headings)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn delete_chunks(tx: &mut TenantTx, ids: &[ChunkId]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let tenant = tx.ctx().tenant();
    let ids: Vec<_> = ids.iter().map(|id| id.as_uuid()).collect();
    sqlx::query(include_str!("sql/chunks_delete.sql"))
        .bind(tenant)
        .bind(ids)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
