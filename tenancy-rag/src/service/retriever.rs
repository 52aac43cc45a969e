//! From a question to the chunks that its asker may see.

use std::sync::Arc;

use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Event, RoleKey, TenantCtx, TenantDb, TenantTx,
};

use super::perm;
use crate::{
    ChunkStore, Citation, Corpus, Embedder, Error, ErrorKind, Hit, Passage, PathPolicy,
    PgKnowledgeBase, Purpose, Reranker, RetrieveOptions, Retrieved, SearchPath, Standing,
    VectorQuery, check_vectors, model::padded,
};

/// Finds the chunks nearest to a question among those that the asker may see.
///
/// His roles are resolved in the very transaction that searches, and that transaction is bound to
/// them: a role that was taken away is gone from the next search on, and without a role there is
/// nothing to find. The way through the vectors is chosen by the tenant's size, never by the
/// planner, and nothing that another tenant stores has a part in the answer or in the time it
/// takes.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, TenantCtx, TenantDb};
/// # use tenancy_rag::{Error, HashEmbedder, RetrieveOptions, Retriever};
/// # async fn run(db: TenantDb, ctx: TenantCtx, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>) -> Result<(), Error> {
/// let retriever = Retriever::new(db, Arc::new(HashEmbedder::full()), authorizer, audit);
/// let found = retriever.retrieve(&ctx, "who books trains?", RetrieveOptions::default()).await?;
/// for hit in found.hits {
///     let passage = retriever.open_citation(&ctx, &hit.citation).await?;
///     assert_eq!(passage.text, hit.text);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Retriever {
    db: TenantDb,
    embedder: Arc<dyn Embedder>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    chunks: Arc<dyn ChunkStore>,
    reranker: Option<Arc<dyn Reranker>>,
    policy: PathPolicy,
}

/// The longest question, in bytes.
const MAX_QUESTION: usize = 8 << 10;
/// A reranker is given this many times what was asked for, 100 at most.
const RERANKED: u16 = 4;

impl Retriever {
    /// Puts the service together, on Postgres.
    pub fn new(
        db: TenantDb,
        embedder: Arc<dyn Embedder>,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        Self {
            db,
            embedder,
            authorizer,
            audit,
            chunks: Arc::new(PgKnowledgeBase::new()),
            reranker: None,
            policy: PathPolicy::default(),
        }
    }

    /// Scores what was found once more, by this reranker.
    pub fn with_reranker(mut self, reranker: Arc<dyn Reranker>) -> Self {
        self.reranker = Some(reranker);
        self
    }

    /// Chooses the way through the vectors by this policy.
    pub fn with_policy(mut self, policy: PathPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Searches this store.
    pub fn with_store(mut self, chunks: Arc<dyn ChunkStore>) -> Self {
        self.chunks = chunks;
        self
    }

    /// The chunks nearest to a question, best first, and how they were found. Needs `kb.read`.
    ///
    /// The search is recorded, with what it found and without the question; if it can't be
    /// recorded, it fails.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput): `query_empty`, `query_too_long`, `k_invalid`,
    /// `min_score_invalid`; [`ModelMismatch`](ErrorKind::ModelMismatch) if the tenant's vectors come
    /// from another model; `index_missing` if an HNSW was asked for and the tenant is not covered.
    pub async fn retrieve(
        &self,
        ctx: &TenantCtx,
        query: &str,
        options: RetrieveOptions,
    ) -> Result<Retrieved, Error> {
        options.check()?;
        check_question(query)?;
        self.authorizer.require(ctx, perm::KbRead::get()).await?;
        // Before the transaction: no connection waits for somebody else's service.
        let vector = self.embed(ctx, query).await?;
        let (mut tx, roles) = self.open(ctx).await?;
        let mut found = match self
            .chunks
            .standing_in(&mut tx, self.policy.hnsw_from)
            .await?
        {
            Some(standing) if !roles.is_empty() => {
                self.search(&mut tx, standing, vector, &roles, &options)
                    .await?
            }
            _ => Retrieved {
                hits: Vec::new(),
                path: SearchPath::Exact,
                candidates: 0,
            },
        };
        drop(tx);
        if let Some(reranker) = &self.reranker {
            rerank(&**reranker, ctx, query, &mut found.hits).await?;
        }
        found
            .hits
            .retain(|hit| options.min_score.is_none_or(|least| hit.score >= least));
        found.hits.truncate(options.k.into());
        self.record(ctx, &found).await?;
        Ok(found)
    }

    /// What a citation points at, byte for byte, if the caller may see it. Needs `kb.read`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) with the code `citation_unknown` if there is no such
    /// document, this version of it is gone, or the caller may not read it: not told apart.
    /// `citation_invalid` for bytes that are no part of the text.
    pub async fn open_citation(
        &self,
        ctx: &TenantCtx,
        citation: &Citation,
    ) -> Result<Passage, Error> {
        self.authorizer.require(ctx, perm::KbRead::get()).await?;
        let (mut tx, _) = self.open(ctx).await?;
        self.chunks
            .open_in(&mut tx, citation)
            .await?
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    "citation_unknown",
                    "there is no such passage any more",
                )
            })
    }

    /// A transaction that is bound to the caller's roles, as they are now.
    async fn open(&self, ctx: &TenantCtx) -> Result<(TenantTx, Vec<RoleKey>), Error> {
        let mut tx = self.db.read(ctx).await?;
        let roles = self.authorizer.roles_in(&mut tx).await?;
        tx.bind_roles(&roles).await?;
        Ok((tx, roles))
    }

    async fn embed(&self, ctx: &TenantCtx, query: &str) -> Result<Vec<f32>, Error> {
        let texts = [query.to_owned()];
        let mut vectors = self.embedder.embed(ctx, &texts, Purpose::Query).await?;
        check_vectors(&self.embedder.model(), 1, &vectors)?;
        Ok(padded(vectors.pop().unwrap_or_default()))
    }

    async fn search(
        &self,
        tx: &mut TenantTx,
        standing: Standing,
        vector: Vec<f32>,
        roles: &[RoleKey],
        options: &RetrieveOptions,
    ) -> Result<Retrieved, Error> {
        self.embedder.model().must_be(&standing.model)?;
        let corpus = standing.corpus;
        let k = match &self.reranker {
            Some(_) => options.k.saturating_mul(RERANKED).min(100),
            None => options.k,
        };
        let path = options.path.unwrap_or_else(|| self.policy.choose(corpus));
        let dimensions = standing.model.dimensions();
        let mut query = VectorQuery {
            vector,
            generation: standing.generation,
            roles: roles.to_vec(),
            source: options.source,
            k,
            path,
            candidates: candidates(&self.policy, path, corpus, k, dimensions),
        };
        let mut hits = self.chunks.search_in(tx, &query).await?;
        if path == SearchPath::Hnsw && options.path.is_none() && hits.len() < k.into() {
            // A graph walked behind a filter may come back short; the scan does not.
            query.path = SearchPath::Bits;
            query.candidates = candidates(&self.policy, query.path, corpus, k, dimensions);
            hits = self.chunks.search_in(tx, &query).await?;
        }
        Ok(Retrieved {
            hits,
            path: query.path,
            candidates: query.candidates,
        })
    }

    async fn record(&self, ctx: &TenantCtx, found: &Retrieved) -> Result<(), Error> {
        metrics::counter!("tenancy_kb_searches_total").increment(1);
        let mut docs: Vec<_> = found.hits.iter().map(|hit| hit.citation.doc).collect();
        docs.sort();
        docs.dedup();
        let start = Event::new("kb.searched").meta("hits", found.hits.len());
        let event = docs
            .iter()
            .take(10)
            .fold(start, |event, doc| event.target("kb_doc", doc));
        Ok(self.audit.record(ctx, event).await?)
    }
}

fn candidates(
    policy: &PathPolicy,
    path: SearchPath,
    corpus: Corpus,
    k: u16,
    dimensions: usize,
) -> i64 {
    match path {
        SearchPath::Exact => corpus.chunks,
        _ => policy.candidates(corpus, k, dimensions),
    }
}

fn check_question(query: &str) -> Result<(), Error> {
    if query.trim().is_empty() {
        return Err(Error::invalid("query_empty", "the question is empty"));
    }
    if query.len() > MAX_QUESTION {
        let message = format!("the question is longer than {MAX_QUESTION} bytes");
        return Err(Error::invalid("query_too_long", message));
    }
    Ok(())
}

async fn rerank(
    reranker: &dyn Reranker,
    ctx: &TenantCtx,
    query: &str,
    hits: &mut [Hit],
) -> Result<(), Error> {
    let passages: Vec<String> = hits.iter().map(|hit| hit.text.clone()).collect();
    let scores = reranker.score(ctx, query, &passages).await?;
    if scores.len() != hits.len() || !scores.iter().all(|score| score.is_finite()) {
        let message = "the reranker's answer is not one finite score for each passage";
        return Err(Error::new(ErrorKind::Internal, "reranker_invalid", message));
    }
    for (hit, score) in hits.iter_mut().zip(scores) {
        hit.score = score;
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(())
}

impl std::fmt::Debug for Retriever {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retriever")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
