use async_trait::async_trait;
use tenancy_core::{RoleKey, TenantTx};

use super::{
    PgKnowledgeBase,
    row::{self, DocumentRow},
};
use crate::{
    Amount, DocId, DocUri, Document, DocumentStore, Error, KnownDocument, Source, SourceId,
    SourceName,
};

#[async_trait]
impl DocumentStore for PgKnowledgeBase {
    async fn source_in(
        &self,
        tx: &mut TenantTx,
        name: &SourceName,
        writers: &[RoleKey],
    ) -> Result<SourceId, Error> {
        let tenant = tx.ctx().tenant();
        sqlx::query(include_str!("sql/source_create.sql"))
            .bind(tenant)
            .bind(SourceId::new())
            .bind(name.as_str())
            .bind(row::texts(writers))
            .execute(&mut **tx)
            .await?;
        Ok(sqlx::query_scalar(include_str!("sql/source_by_name.sql"))
            .bind(tenant)
            .bind(name.as_str())
            .fetch_one(&mut **tx)
            .await?)
    }

    async fn writers_in(
        &self,
        tx: &mut TenantTx,
        source: SourceId,
    ) -> Result<Option<Vec<RoleKey>>, Error> {
        let tenant = tx.ctx().tenant();
        let writers: Option<Vec<String>> =
            sqlx::query_scalar(include_str!("sql/source_writers.sql"))
                .bind(tenant)
                .bind(source)
                .fetch_optional(&mut **tx)
                .await?;
        writers.map(row::roles).transpose()
    }

    async fn set_writers_in(
        &self,
        tx: &mut TenantTx,
        source: SourceId,
        writers: &[RoleKey],
    ) -> Result<bool, Error> {
        let tenant = tx.ctx().tenant();
        let done = sqlx::query(include_str!("sql/source_set_writers.sql"))
            .bind(tenant)
            .bind(source)
            .bind(row::texts(writers))
            .execute(&mut **tx)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn sources_in(
        &self,
        tx: &mut TenantTx,
        after: Option<String>,
        limit: u16,
    ) -> Result<Vec<Source>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<(SourceId, String, Vec<String>, _)> =
            sqlx::query_as(include_str!("sql/sources_list.sql"))
                .bind(tenant)
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(&mut **tx)
                .await?;
        let source = |(id, name, writers, created_at)| {
            Ok(Source {
                id,
                name,
                writer_roles: row::roles(writers)?,
                created_at,
            })
        };
        rows.into_iter().map(source).collect()
    }

    async fn find_in(
        &self,
        tx: &mut TenantTx,
        source: SourceId,
        uri: &DocUri,
    ) -> Result<Option<KnownDocument>, Error> {
        let row: Option<(DocId, Vec<String>)> = sqlx::query_as(include_str!("sql/doc_find.sql"))
            .bind(source)
            .bind(uri.as_str())
            .fetch_optional(&mut **tx)
            .await?;
        row.map(|(id, roles)| Ok(KnownDocument::new(id, source, row::roles(roles)?)))
            .transpose()
    }

    async fn place_of_in(
        &self,
        tx: &mut TenantTx,
        doc: DocId,
    ) -> Result<Option<KnownDocument>, Error> {
        let row: Option<(SourceId, Vec<String>)> =
            sqlx::query_as(include_str!("sql/doc_place.sql"))
                .bind(doc)
                .fetch_optional(&mut **tx)
                .await?;
        row.map(|(source, roles)| Ok(KnownDocument::new(doc, source, row::roles(roles)?)))
            .transpose()
    }

    async fn get_in(&self, tx: &mut TenantTx, doc: DocId) -> Result<Option<Document>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<DocumentRow> = sqlx::query_as(include_str!("sql/doc_get.sql"))
            .bind(tenant)
            .bind(doc)
            .fetch_optional(&mut **tx)
            .await?;
        row.map(Document::try_from).transpose()
    }

    async fn list_in(
        &self,
        tx: &mut TenantTx,
        source: Option<SourceId>,
        after: Option<DocId>,
        limit: u16,
    ) -> Result<Vec<Document>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<DocumentRow> = sqlx::query_as(include_str!("sql/docs_list.sql"))
            .bind(tenant)
            .bind(source)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&mut **tx)
            .await?;
        rows.into_iter().map(Document::try_from).collect()
    }

    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        doc: DocId,
        roles: &[RoleKey],
    ) -> Result<bool, Error> {
        let tenant = tx.ctx().tenant();
        let done = sqlx::query(include_str!("sql/doc_set_roles.sql"))
            .bind(tenant)
            .bind(doc)
            .bind(row::texts(roles))
            .execute(&mut **tx)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn delete_in(&self, tx: &mut TenantTx, doc: DocId) -> Result<Option<Amount>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<(i64, i32)> = sqlx::query_as(include_str!("sql/doc_delete.sql"))
            .bind(tenant)
            .bind(doc)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(row.map(|(bytes, chunks)| Amount::new(bytes, 1, i64::from(chunks))))
    }
}
