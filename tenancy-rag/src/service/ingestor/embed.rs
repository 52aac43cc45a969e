//! Vectors for the texts that have none.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tenancy_core::TenantCtx;

use super::{Ingestor, Watch};
use crate::{
    Chunk, Error, Ingestion, Progress, Purpose, Stage, StagedVector, check_vectors,
    model::{Patience, padded},
};

/// An embedder that asks for a longer wait is asked again by the queue's next try, if there is one.
const MAX_WAIT: Duration = Duration::from_mins(1);

impl Ingestor {
    /// Reserves room for the chunks, and stages a vector for each text that has none: what a try
    /// before this one staged, and what other chunks of the source have, is not asked for again.
    pub(super) async fn embed_missing(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        chunks: &[Chunk],
        progress: &mut Progress,
        watch: Watch<'_>,
    ) -> Result<i32, Error> {
        let mut seen = HashSet::new();
        let hashes: Vec<[u8; 32]> = chunks
            .iter()
            .map(|chunk| chunk.hash)
            .filter(|hash| seen.insert(*hash))
            .collect();
        let (generation, missing) = self.look(ctx, ingestion, chunks.len(), &hashes).await?;
        let by_hash: HashMap<[u8; 32], &str> = chunks
            .iter()
            .map(|chunk| (chunk.hash, chunk.content.as_str()))
            .collect();

        let open: HashSet<&[u8; 32]> = missing.iter().collect();
        let ready = chunks
            .iter()
            .filter(|chunk| !open.contains(&chunk.hash))
            .count();
        progress.ready = i32::try_from(ready).unwrap_or(i32::MAX);
        self.step(ctx, ingestion, progress, Stage::Embedding, watch)
            .await?;
        for batch in missing.chunks(self.limits.batch.max(1)) {
            let texts: Vec<String> = batch
                .iter()
                .filter_map(|hash| by_hash.get(hash).map(|text| (*text).to_owned()))
                .collect();
            let vectors = self.embed(ctx, &texts, progress).await?;
            let done: HashSet<&[u8; 32]> = batch.iter().collect();
            let ready = chunks
                .iter()
                .filter(|chunk| done.contains(&chunk.hash))
                .count();
            progress.ready = progress
                .ready
                .saturating_add(i32::try_from(ready).unwrap_or(i32::MAX));
            progress.embedded += i32::try_from(batch.len()).unwrap_or(i32::MAX);
            let staged = batch
                .iter()
                .zip(vectors)
                .map(|(hash, vector)| StagedVector::new(*hash, padded(vector)))
                .collect();
            self.stage(ctx, ingestion, staged, progress).await?;
            watch(*progress);
        }
        Ok(generation)
    }

    async fn look(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        chunks: usize,
        hashes: &[[u8; 32]],
    ) -> Result<(i32, Vec<[u8; 32]>), Error> {
        let (store, id) = (&self.ingestions, ingestion.id);
        let mut tx = self.db.write(ctx).await?;
        self.bind_writer(&mut tx, ingestion).await?;
        let generation = store.generation_in(&mut tx, &self.embedder.model()).await?;
        let missing = store
            .missing_in(&mut tx, ingestion, generation, hashes)
            .await?;
        let now = store
            .get_in(&mut tx, id)
            .await?
            .ok_or_else(super::unknown)?;
        store
            .reserve_in(&mut tx, id, Self::lacking(&now, chunks), self.quota)
            .await?;
        tx.commit().await?;
        Ok((generation, missing))
    }

    /// One batch, tried again where the error says that this can help.
    async fn embed(
        &self,
        ctx: &TenantCtx,
        texts: &[String],
        progress: &mut Progress,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let mut patience = Patience::new(self.limits.attempts, MAX_WAIT);
        loop {
            progress.calls += 1;
            metrics::counter!("tenancy_kb_embed_calls_total").increment(1);
            let answer = self.embedder.embed(ctx, texts, Purpose::Passage).await;
            let error = match answer {
                Ok(vectors) => {
                    check_vectors(&self.embedder.model(), texts.len(), &vectors)?;
                    return Ok(vectors);
                }
                Err(error) => error,
            };
            let Some(wait) = patience.after(error.retry()) else {
                return Err(error);
            };
            progress.retries += 1;
            tracing::warn!(%error, tenant = %ctx.tenant(), ?wait, "an embedding is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn stage(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        staged: Vec<StagedVector>,
        progress: &Progress,
    ) -> Result<(), Error> {
        let (store, lease) = (&self.ingestions, self.limits.lease);
        let mut tx = self.open(ctx, &ingestion.allowed_roles).await?;
        store.stage_in(&mut tx, ingestion, staged).await?;
        if !store
            .progress_in(&mut tx, ingestion.id, progress, lease)
            .await?
        {
            return Err(super::run::ended());
        }
        Ok(tx.commit().await?)
    }
}
