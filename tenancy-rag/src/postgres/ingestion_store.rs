use std::time::Duration;

use async_trait::async_trait;
use pgvector::Vector;
use tenancy_core::TenantTx;

use super::{
    PgKnowledgeBase,
    row::{self, IngestionRow},
};
use crate::{
    Amount, DocId, EmbeddingModel, Error, ErrorKind, Ingestion, IngestionFailure, IngestionId,
    IngestionStore, Limits, NewDocument, Progress, Quota, StagedVector,
};

#[derive(Debug, sqlx::FromRow)]
struct QuotaRow {
    limit_bytes: i64,
    limit_docs: i64,
    limit_chunks: i64,
    used_bytes: i64,
    used_docs: i64,
    used_chunks: i64,
    held_bytes: i64,
    held_docs: i64,
    held_chunks: i64,
}

/// How an ingestion ends.
#[derive(Default)]
struct End<'a> {
    stage: &'static str,
    doc: Option<DocId>,
    version: Option<i32>,
    failure: Option<&'a IngestionFailure>,
    stored: Amount,
}

#[async_trait]
impl IngestionStore for PgKnowledgeBase {
    async fn begin_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        document: &NewDocument,
        lease: Duration,
    ) -> Result<(), Error> {
        let tenant = tx.ctx().tenant();
        sqlx::query(include_str!("sql/quota_create.sql"))
            .bind(tenant)
            .execute(&mut **tx)
            .await?;
        sqlx::query(include_str!("sql/ingestion_begin.sql"))
            .bind(tenant)
            .bind(id)
            .bind(document.source)
            .bind(document.uri.as_str())
            .bind(document.title.as_str())
            .bind(document.media_type.as_str())
            .bind(row::texts(&document.allowed_roles))
            .bind(millis(lease))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn reserve_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        more: Amount,
        defaults: Limits,
    ) -> Result<(), Error> {
        let tenant = tx.ctx().tenant();
        let done = sqlx::query(include_str!("sql/quota_reserve.sql"))
            .bind(tenant)
            .bind(id)
            .bind(more.bytes)
            .bind(more.docs)
            .bind(more.chunks)
            .bind(defaults.bytes)
            .bind(defaults.docs)
            .bind(defaults.chunks)
            .execute(&mut **tx)
            .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        if self
            .get_in(tx, id)
            .await?
            .is_none_or(|known| known.progress.stage.is_final())
        {
            return Err(ended());
        }
        let (what, limit) = self.quota_in(tx, defaults).await?.obstacle(more);
        let message = format!("the quota of {limit} {what} is used up");
        Err(Error::new(ErrorKind::Limit, "quota_exceeded", message))
    }

    async fn receive_in(
        &self,
        tx: &mut TenantTx,
        ingestion: &Ingestion,
        part: i32,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let tenant = tx.ctx().tenant();
        sqlx::query(include_str!("sql/upload_insert.sql"))
            .bind(tenant)
            .bind(ingestion.id)
            .bind(part)
            .bind(bytes)
            .bind(row::texts(&ingestion.allowed_roles))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn upload_in(&self, tx: &mut TenantTx, id: IngestionId) -> Result<Vec<u8>, Error> {
        let tenant = tx.ctx().tenant();
        let parts: Vec<Vec<u8>> = sqlx::query_scalar(include_str!("sql/upload_get.sql"))
            .bind(tenant)
            .bind(id)
            .fetch_all(&mut **tx)
            .await?;
        Ok(parts.concat())
    }

    async fn get_in(&self, tx: &mut TenantTx, id: IngestionId) -> Result<Option<Ingestion>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<IngestionRow> = sqlx::query_as(include_str!("sql/ingestion_get.sql"))
            .bind(tenant)
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
        row.map(Ingestion::try_from).transpose()
    }

    async fn progress_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        progress: &Progress,
        lease: Duration,
    ) -> Result<bool, Error> {
        let tenant = tx.ctx().tenant();
        let done = sqlx::query(include_str!("sql/ingestion_progress.sql"))
            .bind(tenant)
            .bind(id)
            .bind(progress.stage.as_str())
            .bind(progress.bytes)
            .bind(progress.chunks)
            .bind(progress.ready)
            .bind(progress.embedded)
            .bind(progress.calls)
            .bind(progress.retries)
            .bind(millis(lease))
            .execute(&mut **tx)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn generation_in(&self, tx: &mut TenantTx, model: &EmbeddingModel) -> Result<i32, Error> {
        let tenant = tx.ctx().tenant();
        sqlx::query(include_str!("sql/generation_create.sql"))
            .bind(tenant)
            .bind(model.id())
            .bind(i32::try_from(model.dimensions()).unwrap_or(i32::MAX))
            .execute(&mut **tx)
            .await?;
        let (generation, known, dimensions): (i32, String, i32) =
            sqlx::query_as(include_str!("sql/generation_active.sql"))
                .bind(tenant)
                .fetch_one(&mut **tx)
                .await?;
        let dimensions = usize::try_from(dimensions).unwrap_or_default();
        model.must_be(&EmbeddingModel::new(known, dimensions)?)?;
        Ok(generation)
    }

    async fn missing_in(
        &self,
        tx: &mut TenantTx,
        ingestion: &Ingestion,
        generation: i32,
        hashes: &[[u8; 32]],
    ) -> Result<Vec<[u8; 32]>, Error> {
        let tenant = tx.ctx().tenant();
        let asked: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
        let missing: Vec<Vec<u8>> = sqlx::query_scalar(include_str!("sql/staged_missing.sql"))
            .bind(tenant)
            .bind(ingestion.id)
            .bind(generation)
            .bind(asked)
            .bind(ingestion.source)
            .fetch_all(&mut **tx)
            .await?;
        missing
            .into_iter()
            .map(|hash| hash.try_into().map_err(|_| row::unexpected("a hash")))
            .collect()
    }

    async fn stage_in(
        &self,
        tx: &mut TenantTx,
        ingestion: &Ingestion,
        vectors: Vec<StagedVector>,
    ) -> Result<(), Error> {
        let tenant = tx.ctx().tenant();
        let (hashes, vectors): (Vec<Vec<u8>>, Vec<Vector>) = vectors
            .into_iter()
            .map(|staged| (staged.hash.to_vec(), Vector::from(staged.vector)))
            .unzip();
        sqlx::query(include_str!("sql/staged_insert.sql"))
            .bind(tenant)
            .bind(ingestion.id)
            .bind(row::texts(&ingestion.allowed_roles))
            .bind(hashes)
            .bind(vectors)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn done_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        (doc, version): (DocId, i32),
        stored: Amount,
    ) -> Result<bool, Error> {
        let end = End {
            stage: "done",
            doc: Some(doc),
            version: Some(version),
            stored,
            ..End::default()
        };
        end_in(tx, id, end).await
    }

    async fn fail_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        failure: &IngestionFailure,
    ) -> Result<bool, Error> {
        let end = End {
            stage: "failed",
            failure: Some(failure),
            ..End::default()
        };
        end_in(tx, id, end).await
    }

    async fn forget_in(&self, tx: &mut TenantTx, id: IngestionId) -> Result<(), Error> {
        let tenant = tx.ctx().tenant();
        sqlx::query(include_str!("sql/ingestion_forget.sql"))
            .bind(tenant)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn reap_in(&self, tx: &mut TenantTx) -> Result<i64, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/ingestions_reap.sql"))
            .fetch_one(&mut **tx)
            .await?)
    }

    async fn quota_in(&self, tx: &mut TenantTx, defaults: Limits) -> Result<Quota, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<QuotaRow> = sqlx::query_as(include_str!("sql/quota_get.sql"))
            .bind(tenant)
            .bind(defaults.bytes)
            .bind(defaults.docs)
            .bind(defaults.chunks)
            .fetch_optional(&mut **tx)
            .await?;
        let Some(row) = row else {
            return Ok(Quota::new(defaults, Amount::default(), Amount::default()));
        };
        let limits = Limits {
            bytes: row.limit_bytes,
            docs: row.limit_docs,
            chunks: row.limit_chunks,
        };
        let used = Amount::new(row.used_bytes, row.used_docs, row.used_chunks);
        let held = Amount::new(row.held_bytes, row.held_docs, row.held_chunks);
        Ok(Quota::new(limits, used, held))
    }

    async fn set_limits_in(&self, tx: &mut TenantTx, limits: Limits) -> Result<(), Error> {
        let tenant = tx.ctx().tenant();
        sqlx::query(include_str!("sql/quota_create.sql"))
            .bind(tenant)
            .execute(&mut **tx)
            .await?;
        let answer: String = sqlx::query_scalar(include_str!("sql/quota_set.sql"))
            .bind(limits.bytes)
            .bind(limits.docs)
            .bind(limits.chunks)
            .fetch_one(&mut **tx)
            .await?;
        if answer == "ok" {
            return Ok(());
        }
        let message = "only a service of the host may set a quota";
        Err(Error::new(ErrorKind::Denied, "quota_denied", message))
    }

    async fn free_in(&self, tx: &mut TenantTx, amount: Amount) -> Result<(), Error> {
        let tenant = tx.ctx().tenant();
        sqlx::query(include_str!("sql/quota_free.sql"))
            .bind(tenant)
            .bind(amount.bytes)
            .bind(amount.docs)
            .bind(amount.chunks)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

async fn end_in(tx: &mut TenantTx, id: IngestionId, end: End<'_>) -> Result<bool, Error> {
    let tenant = tx.ctx().tenant();
    let done = sqlx::query(include_str!("sql/ingestion_end.sql"))
        .bind(tenant)
        .bind(id)
        .bind(end.stage)
        .bind(end.doc)
        .bind(end.version)
        .bind(end.failure.map(|failure| failure.code.as_str()))
        .bind(end.failure.map(|failure| failure.message.as_str()))
        .bind(end.stored.bytes)
        .bind(end.stored.docs)
        .bind(end.stored.chunks)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn ended() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "ingestion_ended",
        "the ingestion has ended",
    )
}

fn millis(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2)
}
