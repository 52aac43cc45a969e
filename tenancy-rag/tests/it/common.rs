//! A database with two tenants, and an embedder that can be told to fail.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sqlx::PgPool;
use tenancy_core::{
    Permission as _, RoleKey, TenantCtx, TenantId,
    migrate::{CORE, Component},
    testing::{FakeAuthorizer, MemoryAudit, member, tenant},
};
use tenancy_rag::{
    COMPONENT, DocUri, Documents, Embedder, EmbeddingModel, Error, HashEmbedder, Ingested,
    Ingestor, MediaType, MemoryBytes, NewDocument, Purpose, Retriever, SourceId, SourceName, perm,
};
use tenancy_testkit::Db;

pub(crate) static COMPONENTS: &[&Component] = &[&CORE, &COMPONENT];

pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) audit: MemoryAudit,
    pub(crate) authorizer: FakeAuthorizer,
    pub(crate) embedder: Arc<TestEmbedder>,
    /// Admin of the first tenant.
    pub(crate) admin: TenantCtx,
    /// Admin of the second tenant.
    pub(crate) stranger: TenantCtx,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(COMPONENTS).await
    }

    pub(crate) async fn with(components: &'static [&'static Component]) -> Self {
        let db = Db::new(components).await.unwrap();
        let audit = MemoryAudit::new();
        let authorizer = FakeAuthorizer::new().with_audit(audit.clone());
        let (admin, stranger) = (
            tenant(&db.app).await.unwrap(),
            tenant(&db.app).await.unwrap(),
        );
        for ctx in [&admin, &stranger] {
            authorizer.set_roles(ctx, vec![role("admin")]);
            for key in [perm::KbRead::KEY, perm::KbWrite::KEY, perm::KbManage::KEY] {
                authorizer.grant(ctx, key);
            }
        }
        let embedder = Arc::new(TestEmbedder::new());
        Self {
            db,
            audit,
            authorizer,
            embedder,
            admin,
            stranger,
        }
    }

    /// A member of the first tenant with these roles, who may read and write.
    pub(crate) async fn member(&self, roles: &[&str]) -> TenantCtx {
        let ctx = member(&self.db.app, &self.admin).await.unwrap();
        self.authorizer
            .set_roles(&ctx, roles.iter().map(|name| role(name)).collect());
        self.authorizer.grant(&ctx, perm::KbRead::KEY);
        self.authorizer.grant(&ctx, perm::KbWrite::KEY);
        ctx
    }

    pub(crate) fn ingestor(&self) -> Ingestor {
        let authorizer = Arc::new(self.authorizer.clone());
        let audit = Arc::new(self.audit.clone());
        Ingestor::new(
            self.db.app.clone(),
            self.embedder.clone(),
            authorizer,
            audit,
        )
    }

    pub(crate) fn retriever(&self) -> Retriever {
        let authorizer = Arc::new(self.authorizer.clone());
        let audit = Arc::new(self.audit.clone());
        Retriever::new(
            self.db.app.clone(),
            self.embedder.clone(),
            authorizer,
            audit,
        )
    }

    pub(crate) fn documents(&self) -> Documents {
        let authorizer = Arc::new(self.authorizer.clone());
        Documents::new(
            self.db.app.clone(),
            authorizer,
            Arc::new(self.audit.clone()),
        )
    }

    pub(crate) async fn source(&self, ctx: &TenantCtx) -> SourceId {
        self.ingestor()
            .source(ctx, &SourceName::parse("handbook").unwrap())
            .await
            .unwrap()
    }

    /// Takes in a text that these roles may read.
    pub(crate) async fn put(
        &self,
        ctx: &TenantCtx,
        uri: &str,
        text: &str,
        roles: &[&str],
    ) -> Result<Ingested, Error> {
        self.put_with(&self.ingestor(), ctx, uri, text, roles).await
    }

    pub(crate) async fn put_with(
        &self,
        ingestor: &Ingestor,
        ctx: &TenantCtx,
        uri: &str,
        text: &str,
        roles: &[&str],
    ) -> Result<Ingested, Error> {
        let document = new(self.source(ctx).await, uri, roles);
        ingestor
            .ingest(ctx, document, &mut MemoryBytes::new(text), &|_| ())
            .await
    }

    pub(crate) async fn superuser(&self) -> PgPool {
        self.db.superuser().await.unwrap()
    }

    /// How many rows of anything that a document leaves there are, whoever may see them.
    pub(crate) async fn leftovers(&self, tenant: TenantId) -> i64 {
        sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM tenancy.kb_docs WHERE tenant_id = $1)
                + (SELECT count(*) FROM tenancy.kb_doc_versions WHERE tenant_id = $1)
                + (SELECT count(*) FROM tenancy.kb_chunks WHERE tenant_id = $1)
                + (SELECT count(*) FROM tenancy.kb_uploads WHERE tenant_id = $1)
                + (SELECT count(*) FROM tenancy.kb_staged WHERE tenant_id = $1)
                + (SELECT coalesce(sum(used_bytes + used_docs + used_chunks + held_bytes + held_docs
                    + held_chunks), 0)::bigint FROM tenancy.kb_quotas WHERE tenant_id = $1)",
        )
        .bind(tenant)
        .fetch_one(&self.superuser().await)
        .await
        .unwrap()
    }
}

pub(crate) fn role(name: &str) -> RoleKey {
    RoleKey::parse(name).unwrap()
}

pub(crate) fn new(source: SourceId, uri: &str, roles: &[&str]) -> NewDocument {
    let uri = DocUri::parse(uri).unwrap();
    let media_type =
        MediaType::of_path(std::path::Path::new(uri.as_str())).unwrap_or(MediaType::plain());
    NewDocument::new(source, uri, media_type, roles.iter().map(|name| role(name))).unwrap()
}

/// Hashes, counts what it is asked, and answers first with what it was told to answer.
pub(crate) struct TestEmbedder {
    inner: HashEmbedder,
    pub(crate) calls: AtomicUsize,
    pub(crate) texts: AtomicUsize,
    answers: Mutex<VecDeque<Result<Vec<Vec<f32>>, Error>>>,
    pub(crate) delay: Mutex<Duration>,
}

impl TestEmbedder {
    pub(crate) fn new() -> Self {
        Self {
            inner: HashEmbedder::full(),
            calls: AtomicUsize::new(0),
            texts: AtomicUsize::new(0),
            answers: Mutex::default(),
            delay: Mutex::default(),
        }
    }

    pub(crate) fn answer_next(&self, answer: Result<Vec<Vec<f32>>, Error>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    pub(crate) fn slow_down(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many texts it was asked for since the last time.
    pub(crate) fn taken(&self) -> usize {
        self.texts.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Embedder for TestEmbedder {
    fn model(&self) -> EmbeddingModel {
        self.inner.model()
    }

    async fn embed(
        &self,
        ctx: &TenantCtx,
        texts: &[String],
        purpose: Purpose,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let delay = *self.delay.lock().unwrap();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        if purpose == Purpose::Passage {
            self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        }
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => self.inner.embed(ctx, texts, purpose).await,
        }
    }
}
