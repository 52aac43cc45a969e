//! From an upload to a document that can be found.

mod embed;
mod receive;
mod run;

use std::sync::Arc;

use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, JobSink, RoleKey, TenantCtx, TenantDb, TenantTx,
};

use super::{access::Access, perm};
use crate::{
    ByteSource, ChunkStore, Chunker, DocumentStore, Embedder, Error, ErrorKind, Extractor,
    IngestLimits, Ingested, Ingestion, IngestionFailure, IngestionId, IngestionStore, Limits,
    NewDocument, PgKnowledgeBase, Progress, SourceId, SourceName, SplitterChunker,
    default_extractors,
};

/// Told about every step of an ingestion, beside what the database keeps. It must not block.
pub type Watch<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Takes documents in: receives, extracts, cuts, embeds what is new, and switches the version in
/// one transaction. Everything or nothing: until that transaction commits a reader sees the old
/// version whole, and a failure gives back whatever was reserved.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, RoleKey, TenantCtx, TenantDb};
/// # use tenancy_rag::*;
/// # async fn run(db: TenantDb, ctx: TenantCtx, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>) -> Result<(), Error> {
/// let ingestor = Ingestor::new(db, Arc::new(HashEmbedder::full()), authorizer, audit);
/// let source = ingestor.source(&ctx, &SourceName::parse("handbook")?).await?;
/// let readers = [RoleKey::parse("member")?];
/// let uri = DocUri::parse("travel.md")?;
/// let document = NewDocument::new(source, uri, MediaType::markdown(), readers)?;
/// let mut bytes = MemoryBytes::new("# Travel\n\nTrains are booked by the office.");
/// let done = ingestor.ingest(&ctx, document, &mut bytes, &|progress| println!("{progress:?}")).await?;
/// assert_eq!(done.version, 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Ingestor {
    db: TenantDb,
    embedder: Arc<dyn Embedder>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    jobs: Option<Arc<dyn JobSink>>,
    extractors: Arc<[Arc<dyn Extractor>]>,
    chunker: Arc<dyn Chunker>,
    ingestions: Arc<dyn IngestionStore>,
    documents: Arc<dyn DocumentStore>,
    chunks: Arc<dyn ChunkStore>,
    limits: IngestLimits,
    quota: Limits,
}

impl Ingestor {
    /// Puts the service together, on Postgres, with the extractors and the chunker that ship.
    pub fn new(
        db: TenantDb,
        embedder: Arc<dyn Embedder>,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        let store = Arc::new(PgKnowledgeBase::new());
        Self {
            db,
            embedder,
            authorizer,
            audit,
            jobs: None,
            extractors: default_extractors().into(),
            chunker: Arc::new(SplitterChunker::default()),
            ingestions: store.clone(),
            documents: store.clone(),
            chunks: store,
            limits: IngestLimits::default(),
            quota: Limits::default(),
        }
    }

    /// Lets [`upload`](Self::upload) leave the work to a queue; see
    /// [`IngestHandler`](crate::IngestHandler).
    pub fn with_jobs(mut self, jobs: Arc<dyn JobSink>) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// Asks these extractors, the first that reads a file's type.
    pub fn with_extractors(mut self, extractors: Vec<Arc<dyn Extractor>>) -> Self {
        self.extractors = extractors.into();
        self
    }

    /// Cuts by this chunker.
    pub fn with_chunker(mut self, chunker: Arc<dyn Chunker>) -> Self {
        self.chunker = chunker;
        self
    }

    /// Bounds one document and the work on it.
    pub fn with_limits(mut self, limits: IngestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Bounds what a tenant may store that has no limits of its own.
    pub fn with_quota(mut self, quota: Limits) -> Self {
        self.quota = quota;
        self
    }

    /// Works on these stores.
    pub fn with_stores(
        mut self,
        ingestions: Arc<dyn IngestionStore>,
        documents: Arc<dyn DocumentStore>,
        chunks: Arc<dyn ChunkStore>,
    ) -> Self {
        self.ingestions = ingestions;
        self.documents = documents;
        self.chunks = chunks;
        self
    }

    /// Whether there is a queue that [`upload`](Self::upload) can leave the work to.
    pub fn has_jobs(&self) -> bool {
        self.jobs.is_some()
    }

    /// The source of this name, made if there is none, with the caller's roles as its writers. Needs
    /// `kb.write`.
    pub async fn source(&self, ctx: &TenantCtx, name: &SourceName) -> Result<SourceId, Error> {
        self.authorizer.require(ctx, perm::KbWrite::get()).await?;
        let mut tx = self.db.write(ctx).await?;
        let roles = self.authorizer.roles_in(&mut tx).await?;
        let source = self.documents.source_in(&mut tx, name, &roles).await?;
        tx.commit().await?;
        Ok(source)
    }

    /// Takes a document in and waits for it. Needs `kb.write`, and one of the source's writer roles
    /// or `kb.manage`; services and API keys need `kb.write` alone.
    ///
    /// A document at the same place of the same source is replaced, whoever may read it: a source's
    /// writers know which places are taken, and nobody else learns it. Chunks whose text stays the
    /// same are not embedded again. Where nothing changed the version stays.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) with the code `source_denied`, whatever is at the place;
    /// [`NotFound`](ErrorKind::NotFound) with the code `source_unknown`;
    /// [`InvalidInput`](ErrorKind::InvalidInput): `document_empty`, `document_not_utf8`,
    /// `document_no_text`, `document_has_nul`, `document_unreadable`, `media_type_unsupported`;
    /// [`Limit`](ErrorKind::Limit): `document_too_large`, `chunks_too_many`, `quota_exceeded`;
    /// [`EmbeddingInvalid`](ErrorKind::EmbeddingInvalid) and whatever else the embedder says.
    /// After any of them nothing of the upload is stored.
    ///
    /// # Cancellation
    /// A dropped call stores no version. Its upload and its reservation are given back when the
    /// lease has run out, by the tenant's next upload.
    pub async fn ingest(
        &self,
        ctx: &TenantCtx,
        document: NewDocument,
        bytes: &mut dyn ByteSource,
        watch: Watch<'_>,
    ) -> Result<Ingested, Error> {
        let id = self.receive(ctx, &document, bytes, false, watch).await?;
        match self.run(ctx, id, watch).await {
            Ok(done) => Ok(done),
            Err(error) => {
                self.give_up(ctx, id, &error).await;
                Err(error)
            }
        }
    }

    /// Receives a document and leaves the work to the queue: the upload and its job are stored
    /// together. [`get`](Self::get) tells how far it is.
    ///
    /// # Errors
    /// As [`ingest`](Self::ingest) while receiving; `jobs_missing` without a queue.
    pub async fn upload(
        &self,
        ctx: &TenantCtx,
        document: NewDocument,
        bytes: &mut dyn ByteSource,
    ) -> Result<IngestionId, Error> {
        if self.jobs.is_none() {
            let message = "no queue was given to leave the work to";
            let kind = ErrorKind::Core(tenancy_core::ErrorKind::Misconfigured);
            return Err(Error::new(kind, "jobs_missing", message));
        }
        self.receive(ctx, &document, bytes, true, &|_| ()).await
    }

    /// How far an ingestion is; for whoever started it and for the readers of its document.
    /// Needs `kb.write`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), also for one that the caller may not see.
    pub async fn get(&self, ctx: &TenantCtx, id: IngestionId) -> Result<Ingestion, Error> {
        self.authorizer.require(ctx, perm::KbWrite::get()).await?;
        let mut tx = self.db.read(ctx).await?;
        let roles = self.authorizer.roles_in(&mut tx).await?;
        tx.bind_roles(&roles).await?;
        self.ingestions
            .get_in(&mut tx, id)
            .await?
            .ok_or_else(unknown)
    }

    fn access(&self) -> Access<'_> {
        Access {
            authorizer: &*self.authorizer,
            audit: &*self.audit,
            documents: &*self.documents,
        }
    }

    /// Opens a transaction that sees a document with these readers, after the caller was found to
    /// have the right to change it.
    async fn open(&self, ctx: &TenantCtx, readers: &[RoleKey]) -> Result<TenantTx, Error> {
        let mut tx = self.db.write(ctx).await?;
        tx.bind_roles(readers).await?;
        Ok(tx)
    }

    /// Ends an ingestion after a failure. If even that fails, its lease ends it.
    async fn give_up(&self, ctx: &TenantCtx, id: IngestionId, error: &Error) {
        let failure = IngestionFailure::new(error.code().to_owned(), error.to_string());
        let ended = async {
            let mut tx = self.db.write(ctx).await?;
            let Some(known) = self.ingestions.get_in(&mut tx, id).await? else {
                return Ok(());
            };
            tx.bind_roles(&known.allowed_roles).await?;
            self.ingestions.fail_in(&mut tx, id, &failure).await?;
            if !matches!(known.progress.stage, crate::Stage::Receiving) {
                return Ok(tx.commit().await?);
            }
            // Whoever sent it has the error in hand: there is nothing to look up later.
            self.ingestions.forget_in(&mut tx, id).await?;
            Ok::<(), Error>(tx.commit().await?)
        };
        if let Err(error) = ended.await {
            tracing::error!(%error, tenant = %ctx.tenant(), ingestion = %id, "an ingestion could not be ended");
        }
    }
}

fn unknown() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "ingestion_unknown",
        "there is no such ingestion",
    )
}

impl std::fmt::Debug for Ingestor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingestor")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
