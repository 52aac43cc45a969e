//! From a received upload to a published version.

use sha2::{Digest as _, Sha256};
use tenancy_core::{AuthorizerExt as _, Event, Outcome, TenantCtx, TenantTx};

use super::{Ingestor, Watch, receive::as_i64};
use crate::{
    Amount, Chunk, DocUri, Error, ErrorKind, Extracted, Ingested, Ingestion, IngestionId,
    MediaType, Origins, Progress, Publication, Stage, Upload,
    model::cut,
    service::{access, perm},
};

/// How often a publication is tried when somebody else changes the same document.
const PUBLICATIONS: u32 = 4;

/// An upload that was read and cut.
pub(super) struct Prepared {
    pub(super) hash: [u8; 32],
    pub(super) text: Extracted,
    pub(super) original: Option<Vec<u8>>,
    pub(super) chunks: Vec<Chunk>,
}

impl Ingestor {
    /// Does the work on an upload that was received. Doing it twice does it once: one that is done
    /// answers what it led to. Needs `kb.write`.
    ///
    /// After an error that may be tried again the upload, its reservation and the vectors that are
    /// there are kept for the next try, until the lease runs out; after any other it is given up.
    ///
    /// # Errors
    /// As [`ingest`](Self::ingest), and [`Conflict`](ErrorKind::Conflict) with the code
    /// `ingestion_ended` for one that was given up.
    pub async fn run(
        &self,
        ctx: &TenantCtx,
        id: IngestionId,
        watch: Watch<'_>,
    ) -> Result<Ingested, Error> {
        self.authorizer.require(ctx, perm::KbWrite::get()).await?;
        let ingestion = self.get(ctx, id).await?;
        if let Some(done) = ingestion.ingested {
            return Ok(done);
        }
        match ingestion.progress.stage {
            Stage::Failed => return Err(ended()),
            Stage::Receiving => {
                let message = "the upload is not whole yet";
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "ingestion_receiving",
                    message,
                ));
            }
            _ => {}
        }
        let error = match self.work(ctx, &ingestion, watch).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        // Another worker, or a commit whose answer was lost, may have been there first.
        if let Some(done) = self
            .get(ctx, id)
            .await
            .ok()
            .and_then(|known| known.ingested)
        {
            return Ok(done);
        }
        self.failed(ctx, &ingestion, &error).await;
        Err(error)
    }

    async fn work(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        watch: Watch<'_>,
    ) -> Result<Ingested, Error> {
        let mut progress = Progress::new(Stage::Extracting);
        progress.bytes = ingestion.progress.bytes;
        progress.embedded = ingestion.progress.embedded;
        progress.calls = ingestion.progress.calls;
        progress.retries = ingestion.progress.retries;
        let prepared = self.prepare(ctx, ingestion, &mut progress, watch).await?;
        let mut tries = 1;
        loop {
            let generation = self
                .embed_missing(ctx, ingestion, &prepared.chunks, &mut progress, watch)
                .await?;
            self.step(ctx, ingestion, &mut progress, Stage::Publishing, watch)
                .await?;
            match self
                .publish(ctx, ingestion, generation, &prepared, progress)
                .await
            {
                Err(error) if tries < PUBLICATIONS && overtaken(&error) => tries += 1,
                Err(error) => return Err(error),
                Ok(done) => {
                    progress.stage = Stage::Done;
                    watch(progress);
                    return Ok(done);
                }
            }
        }
    }

    async fn prepare(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        progress: &mut Progress,
        watch: Watch<'_>,
    ) -> Result<Prepared, Error> {
        self.step(ctx, ingestion, progress, Stage::Extracting, watch)
            .await?;
        let mut tx = self.open(ctx, &ingestion.allowed_roles).await?;
        let bytes = self.ingestions.upload_in(&mut tx, ingestion.id).await?;
        drop(tx);
        let hash = Sha256::digest(&bytes).into();
        let media_type = MediaType::parse(&ingestion.media_type)?;
        let upload = Upload::new(media_type, bytes);
        let text = self.extract(ctx, &upload).await?;
        let original = (text.origins != Origins::Same).then(|| upload.bytes.to_vec());

        self.step(ctx, ingestion, progress, Stage::Chunking, watch)
            .await?;
        let (text, chunks) = self.cut(text).await?;
        progress.chunks = i32::try_from(chunks.len()).unwrap_or(i32::MAX);
        Ok(Prepared {
            hash,
            text,
            original,
            chunks,
        })
    }

    async fn extract(&self, ctx: &TenantCtx, upload: &Upload) -> Result<Extracted, Error> {
        let Some(extractor) = self.extractors.iter().find(|e| e.reads(&upload.media_type)) else {
            let message = format!(
                "documents of the type `{}` can't be read",
                upload.media_type
            );
            return Err(Error::invalid("media_type_unsupported", message));
        };
        let text = extractor.extract(ctx, upload).await?;
        if text.text.contains('\0') {
            let message = "the document holds a NUL character, which can't be stored";
            return Err(Error::invalid("document_has_nul", message));
        }
        if text.text.trim().is_empty() {
            return Err(no_text());
        }
        Ok(text)
    }

    async fn cut(&self, text: Extracted) -> Result<(Extracted, Vec<Chunk>), Error> {
        let (chunker, max) = (self.chunker.clone(), self.limits.max_chunks);
        let work = move || {
            let ranges = chunker.chunk(&text)?;
            if ranges.len() > max {
                let message = format!("the document has more than {max} chunks");
                return Err(Error::new(ErrorKind::Limit, "chunks_too_many", message));
            }
            let chunks = cut(&text, ranges)?;
            if chunks.is_empty() {
                return Err(no_text());
            }
            Ok((text, chunks))
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Internal,
                "chunker_failed",
                "the document can't be cut",
            ))
        })
    }

    /// The switch: everything that makes a version visible, in one transaction.
    async fn publish(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        generation: i32,
        prepared: &Prepared,
        progress: Progress,
    ) -> Result<Ingested, Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::KbWrite::get())
            .await?;
        self.bind_writer(&mut tx, ingestion).await?;
        let (text, chunks) = (prepared.text.clone(), prepared.chunks.clone());
        let publication =
            Publication::new(ingestion.clone(), prepared.hash, generation, text, chunks)
                .with_original(prepared.original.clone());
        let (doc, version, stored) = self.chunks.publish_in(&mut tx, &publication).await?;
        if !self
            .ingestions
            .done_in(&mut tx, ingestion.id, (doc, version), stored)
            .await?
        {
            return Err(ended());
        }
        let event = Event::new("kb.document.ingested")
            .target("kb_doc", doc)
            .target("kb_source", ingestion.source)
            .meta("version", version)
            .meta("chunks", progress.chunks)
            .meta("embedded", progress.embedded)
            .meta("bytes", ingestion.progress.bytes);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        let (chunks, embedded) = (progress.chunks, progress.embedded);
        Ok(Ingested {
            ingestion: ingestion.id,
            doc,
            version,
            chunks,
            embedded,
        })
    }

    /// Lets the transaction see the document as it is and as it will be, if its principal may
    /// write to the source.
    pub(super) async fn bind_writer(
        &self,
        tx: &mut TenantTx,
        ingestion: &Ingestion,
    ) -> Result<(), Error> {
        let uri = DocUri::parse(&ingestion.uri)?;
        self.access().require_writer(tx, ingestion.source).await?;
        let mut readers = ingestion.allowed_roles.clone();
        if let Some(known) = self.documents.find_in(tx, ingestion.source, &uri).await? {
            readers = access::united(&readers, &known.allowed_roles);
        }
        Ok(tx.bind_roles(&readers).await?)
    }

    /// Keeps how far it is, and the lease.
    pub(super) async fn step(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        progress: &mut Progress,
        stage: Stage,
        watch: Watch<'_>,
    ) -> Result<(), Error> {
        progress.stage = stage;
        let mut tx = self.open(ctx, &ingestion.allowed_roles).await?;
        let lease = self.limits.lease;
        if !self
            .ingestions
            .progress_in(&mut tx, ingestion.id, progress, lease)
            .await?
        {
            return Err(ended());
        }
        tx.commit().await?;
        watch(*progress);
        Ok(())
    }

    /// Room for the chunks, and for the document if it is new: only what is not held already.
    pub(super) fn lacking(ingestion: &Ingestion, chunks: usize) -> Amount {
        Amount::new(0, 0, (as_i64(chunks) - ingestion.held.chunks).max(0))
    }

    async fn failed(&self, ctx: &TenantCtx, ingestion: &Ingestion, error: &Error) {
        metrics::counter!("tenancy_kb_ingestions_failed_total").increment(1);
        if error.retry().is_retryable() {
            return;
        }
        self.give_up(ctx, ingestion.id, error).await;
        let event = Event::new("kb.document.ingested")
            .outcome(Outcome::Error)
            .target("kb_ingestion", ingestion.id)
            .meta("code", error.code());
        if let Err(error) = self.audit.record(ctx, event).await {
            tracing::error!(%error, tenant = %ctx.tenant(), "a failed ingestion could not be recorded");
        }
    }
}

fn overtaken(error: &Error) -> bool {
    matches!(error.code(), "vectors_missing" | "document_changed")
}

fn no_text() -> Error {
    Error::invalid("document_no_text", "the document holds no text")
}

pub(super) fn ended() -> Error {
    let message = "the ingestion has ended, or the document was removed meanwhile";
    Error::new(ErrorKind::Conflict, "ingestion_ended", message)
}
