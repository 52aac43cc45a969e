use async_trait::async_trait;
use pgvector::Vector;
use sqlx::Row as _;
use tenancy_core::TenantTx;

use super::{
    PgKnowledgeBase, publish,
    row::{self, HitRow},
};
use crate::{
    Amount, ChunkStore, Citation, Corpus, DocId, EmbeddingModel, Error, ErrorKind, Hit, Passage,
    Publication, SearchPath, Standing, VectorQuery,
};

#[derive(Debug, sqlx::FromRow)]
struct StandingRow {
    generation: i32,
    model: String,
    dimensions: i32,
    chunks: i64,
    visible: i64,
    has_hnsw: bool,
}

/// The widest search that pgvector allows.
const MAX_EF: i64 = 1_000;

#[async_trait]
impl ChunkStore for PgKnowledgeBase {
    async fn standing_in(
        &self,
        tx: &mut TenantTx,
        count_from: i64,
    ) -> Result<Option<Standing>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<StandingRow> = sqlx::query_as(include_str!("sql/standing.sql"))
            .bind(tenant)
            .bind(count_from)
            .fetch_optional(&mut **tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let dimensions = usize::try_from(row.dimensions).unwrap_or_default();
        let model = EmbeddingModel::new(row.model, dimensions)?;
        let corpus = Corpus {
            chunks: row.chunks,
            visible: row.visible,
            has_hnsw: row.has_hnsw,
        };
        Ok(Some(Standing::new(row.generation, model, corpus)))
    }

    async fn search_in(&self, tx: &mut TenantTx, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        let tenant = tx.ctx().tenant();
        let sql = match query.path {
            SearchPath::Exact => include_str!("sql/search_exact.sql"),
            SearchPath::Bits => include_str!("sql/search_bits.sql"),
            SearchPath::Hnsw => {
                use_hnsw(tx, query.candidates).await?;
                include_str!("sql/search_hnsw.sql")
            }
        };
        let mut search = sqlx::query_as(sql)
            .bind(tenant)
            .bind(query.generation)
            .bind(row::texts(&query.roles))
            .bind(Vector::from(query.vector.clone()))
            .bind(query.source)
            .bind(i64::from(query.k));
        if query.path != SearchPath::Exact {
            search = search.bind(query.candidates);
        }
        let rows: Vec<HitRow> = search.fetch_all(&mut **tx).await?;
        rows.into_iter().map(Hit::try_from).collect()
    }

    async fn open_in(
        &self,
        tx: &mut TenantTx,
        citation: &Citation,
    ) -> Result<Option<Passage>, Error> {
        let tenant = tx.ctx().tenant();
        let (at, len) = place(&citation.bytes)?;
        let origin = citation.origin.as_ref().map(place).transpose()?;
        let row: Option<(Vec<u8>, Option<Vec<u8>>)> =
            sqlx::query_as(include_str!("sql/passage.sql"))
                .bind(tenant)
                .bind(citation.doc)
                .bind(citation.version)
                .bind(at)
                .bind(len)
                .bind(origin.map(|(at, _)| at))
                .bind(origin.map(|(_, len)| len))
                .fetch_optional(&mut **tx)
                .await?;
        let Some((bytes, origin)) = row else {
            return Ok(None);
        };
        let whole = i32::try_from(bytes.len()) == Ok(len);
        match String::from_utf8(bytes) {
            Ok(text) if whole => Ok(Some(Passage { text, origin })),
            _ => Err(no_place()),
        }
    }

    async fn publish_in(
        &self,
        tx: &mut TenantTx,
        publication: &Publication,
    ) -> Result<(DocId, i32, Amount), Error> {
        publish::publish(tx, publication).await
    }
}

async fn use_hnsw(tx: &mut TenantTx, candidates: i64) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    let row = sqlx::query(include_str!("sql/hnsw_settings.sql"))
        .bind(tenant)
        .bind(candidates.clamp(1, MAX_EF).to_string())
        .fetch_one(&mut **tx)
        .await?;
    if row.try_get("covered")? {
        return Ok(());
    }
    let message = "no valid index covers the tenant's chunks";
    Err(Error::new(ErrorKind::NotFound, "index_missing", message))
}

/// A range as its first byte and its length.
fn place(range: &std::ops::Range<u32>) -> Result<(i32, i32), Error> {
    let len = range
        .end
        .checked_sub(range.start)
        .filter(|len| *len > 0)
        .ok_or_else(no_place)?;
    match (i32::try_from(range.start), i32::try_from(len)) {
        // The database counts from 1.
        (Ok(at), Ok(len)) if at < i32::MAX => Ok((at, len)),
        _ => Err(no_place()),
    }
}

fn no_place() -> Error {
    let message = "the citation's bytes are no part of the document's text";
    Error::new(ErrorKind::InvalidInput, "citation_invalid", message)
}
