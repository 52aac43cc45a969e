//! What is stored, who may read it, and how it goes.

use std::sync::Arc;

use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Event, RoleKey, TenantCtx, TenantDb, TenantTx,
};

use super::{
    access::{self, Access, document_unknown as unknown},
    perm,
};
use crate::{
    DocId, Document, DocumentStore, Error, IngestionStore, PgKnowledgeBase, Source, SourceId,
    model::{readers, role_set},
};

/// Lists documents, changes who may read them and who may write to their sources, and removes them.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, RoleKey, TenantCtx, TenantDb};
/// # use tenancy_rag::{Documents, Error};
/// # async fn run(db: TenantDb, ctx: TenantCtx, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>) -> Result<(), Error> {
/// let documents = Documents::new(db, authorizer, audit);
/// for document in documents.list(&ctx, None, None, 100).await? {
///     documents.set_roles(&ctx, document.id, [RoleKey::parse("admin")?]).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Documents {
    db: TenantDb,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    store: Arc<dyn DocumentStore>,
    ingestions: Arc<dyn IngestionStore>,
}

/// The most items of one page.
const MAX_PAGE: u16 = 500;

impl Documents {
    /// Puts the service together, on Postgres.
    pub fn new(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>) -> Self {
        let store = Arc::new(PgKnowledgeBase::new());
        Self {
            db,
            authorizer,
            audit,
            store: store.clone(),
            ingestions: store,
        }
    }

    /// A page of sources by name, behind the one given; at most 500. Needs `kb.read`.
    pub async fn sources(
        &self,
        ctx: &TenantCtx,
        after: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Source>, Error> {
        let mut tx = self.reader(ctx).await?;
        let after = after.map(ToOwned::to_owned);
        self.store
            .sources_in(&mut tx, after, limit.min(MAX_PAGE))
            .await
    }

    /// A page of the documents that the caller may read, oldest first, behind the one given; at
    /// most 500. Needs `kb.read`.
    pub async fn list(
        &self,
        ctx: &TenantCtx,
        source: Option<SourceId>,
        after: Option<DocId>,
        limit: u16,
    ) -> Result<Vec<Document>, Error> {
        let mut tx = self.reader(ctx).await?;
        self.store
            .list_in(&mut tx, source, after, limit.min(MAX_PAGE))
            .await
    }

    /// A document, if the caller may read it. Needs `kb.read`.
    pub async fn get(&self, ctx: &TenantCtx, doc: DocId) -> Result<Option<Document>, Error> {
        let mut tx = self.reader(ctx).await?;
        self.store.get_in(&mut tx, doc).await
    }

    /// Sets who may write to a source from now on; with no role at all, only holders of `kb.manage`
    /// and the host's services. Needs `kb.manage`.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), and `roles_too_many`.
    pub async fn set_writers(
        &self,
        ctx: &TenantCtx,
        source: SourceId,
        roles: impl IntoIterator<Item = RoleKey>,
    ) -> Result<(), Error> {
        let writers = role_set(roles)?;
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::KbManage::get())
            .await?;
        let old = self.store.writers_in(&mut tx, source).await?;
        let old = old.ok_or_else(access::source_unknown)?;
        if !self.store.set_writers_in(&mut tx, source, &writers).await? {
            return Err(access::source_unknown());
        }
        let event = Event::new("kb.source.writers_changed")
            .target("kb_source", source)
            .meta("from", names(&old))
            .meta("to", names(&writers));
        self.audit.record_in(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }

    /// Sets who may read a document. Searches that begin after this returned follow it; nothing is
    /// embedded again. Needs `kb.write`, and one of its source's writer roles or `kb.manage`.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), also for a document that the caller may neither read nor
    /// change; [`Denied`](crate::ErrorKind::Denied) for one that he may only read; and `roles_missing`.
    pub async fn set_roles(
        &self,
        ctx: &TenantCtx,
        doc: DocId,
        roles: impl IntoIterator<Item = RoleKey>,
    ) -> Result<(), Error> {
        let roles = readers(roles)?;
        let (mut tx, old) = self.writer(ctx, doc).await?;
        tx.bind_roles(&access::united(&old, &roles)).await?;
        if !self.store.set_roles_in(&mut tx, doc, &roles).await? {
            return Err(unknown());
        }
        let event = Event::new("kb.document.roles_changed")
            .target("kb_doc", doc)
            .meta("from", names(&old))
            .meta("to", names(&roles));
        self.audit.record_in(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }

    /// Removes a document with its text and chunks, and gives its room back. Needs `kb.write`, and
    /// one of its source's writer roles or `kb.manage`.
    ///
    /// # Errors
    /// As [`set_roles`](Self::set_roles).
    pub async fn delete(&self, ctx: &TenantCtx, doc: DocId) -> Result<(), Error> {
        let (mut tx, roles) = self.writer(ctx, doc).await?;
        tx.bind_roles(&roles).await?;
        let freed = self
            .store
            .delete_in(&mut tx, doc)
            .await?
            .ok_or_else(unknown)?;
        self.ingestions.free_in(&mut tx, freed).await?;
        let event = Event::new("kb.document.deleted")
            .target("kb_doc", doc)
            .meta("bytes", freed.bytes)
            .meta("chunks", freed.chunks);
        self.audit.record_in(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }

    async fn reader(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        self.authorizer.require(ctx, perm::KbRead::get()).await?;
        let mut tx = self.db.read(ctx).await?;
        let roles = self.authorizer.roles_in(&mut tx).await?;
        tx.bind_roles(&roles).await?;
        Ok(tx)
    }

    /// A transaction for whoever may change the document, and the document's roles.
    async fn writer(&self, ctx: &TenantCtx, doc: DocId) -> Result<(TenantTx, Vec<RoleKey>), Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::KbWrite::get())
            .await?;
        let access = Access {
            authorizer: &*self.authorizer,
            audit: &*self.audit,
            documents: &*self.store,
        };
        let known = access.writable(&mut tx, doc).await?;
        Ok((tx, known.allowed_roles))
    }
}

fn names(roles: &[RoleKey]) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}
