//! The bytes come in.

use serde_json::json;
use tenancy_core::{AuthorizerExt as _, NewJob, TenantCtx};

use super::{Ingestor, Watch};
use crate::{
    Amount, ByteSource, Error, ErrorKind, IngestHandler, Ingestion, IngestionId, NewDocument,
    Progress, Stage, service::perm,
};

/// Parts of an upload are put together to this size before they are stored.
const PART: usize = 512 << 10;
/// An upload that waits for its job is kept this much longer than one that is worked on.
const QUEUED_LEASES: u32 = 24;

impl Ingestor {
    /// Stores an upload under a reservation; with `queue`, together with its job.
    pub(super) async fn receive(
        &self,
        ctx: &TenantCtx,
        document: &NewDocument,
        bytes: &mut dyn ByteSource,
        queue: bool,
        watch: Watch<'_>,
    ) -> Result<IngestionId, Error> {
        self.authorizer.require(ctx, perm::KbWrite::get()).await?;
        let ingestion = self.begin(ctx, document).await?;
        let id = ingestion.id;
        let received = self.take_parts(ctx, ingestion, bytes, queue, watch).await;
        if let Err(error) = received {
            self.give_up(ctx, id, &error).await;
            return Err(error);
        }
        Ok(id)
    }

    async fn begin(&self, ctx: &TenantCtx, document: &NewDocument) -> Result<Ingestion, Error> {
        let id = IngestionId::new();
        let mut tx = self.db.write(ctx).await?;
        // Before any document is looked at: whoever is refused learns nothing about one.
        self.access()
            .require_writer(&mut tx, document.source)
            .await?;
        self.ingestions.reap_in(&mut tx).await?;
        let known = self
            .documents
            .find_in(&mut tx, document.source, &document.uri)
            .await?;
        self.ingestions
            .begin_in(&mut tx, id, document, self.limits.lease)
            .await?;
        if known.is_none() {
            self.ingestions
                .reserve_in(&mut tx, id, Amount::new(0, 1, 0), self.quota)
                .await?;
        }
        let ingestion = self
            .ingestions
            .get_in(&mut tx, id)
            .await?
            .ok_or_else(super::unknown)?;
        tx.commit().await?;
        Ok(ingestion)
    }

    async fn take_parts(
        &self,
        ctx: &TenantCtx,
        ingestion: Ingestion,
        bytes: &mut dyn ByteSource,
        queue: bool,
        watch: Watch<'_>,
    ) -> Result<(), Error> {
        let mut progress = Progress::new(Stage::Receiving);
        let (mut total, mut part, mut buffer) = (0_u64, 0, Vec::new());
        loop {
            let more = bytes.next().await?;
            let ended = more.is_none();
            if let Some(more) = more {
                total = total.saturating_add(more.len() as u64);
                self.check_size(total)?;
                buffer.extend_from_slice(&more);
            }
            if buffer.len() >= PART || (ended && !buffer.is_empty()) {
                progress.bytes += as_i64(buffer.len());
                self.keep_part(ctx, &ingestion, part, &buffer, &progress)
                    .await?;
                part += 1;
                buffer.clear();
                watch(progress);
            }
            if ended {
                break;
            }
        }
        if total == 0 {
            return Err(Error::invalid(
                "document_empty",
                "the document has no bytes",
            ));
        }
        progress.stage = Stage::Queued;
        self.end_of_parts(ctx, &ingestion, &progress, queue).await?;
        watch(progress);
        Ok(())
    }

    fn check_size(&self, total: u64) -> Result<(), Error> {
        if total <= self.limits.max_bytes {
            return Ok(());
        }
        let message = format!(
            "the document is larger than {} bytes",
            self.limits.max_bytes
        );
        Err(Error::new(ErrorKind::Limit, "document_too_large", message))
    }

    async fn keep_part(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        part: i32,
        bytes: &[u8],
        progress: &Progress,
    ) -> Result<(), Error> {
        let mut tx = self.open(ctx, &ingestion.allowed_roles).await?;
        let (store, id) = (&self.ingestions, ingestion.id);
        // The counters are locked by whoever reserves, so that comes last.
        store.receive_in(&mut tx, ingestion, part, bytes).await?;
        if !store
            .progress_in(&mut tx, id, progress, self.limits.lease)
            .await?
        {
            return Err(super::run::ended());
        }
        store
            .reserve_in(
                &mut tx,
                id,
                Amount::new(as_i64(bytes.len()), 0, 0),
                self.quota,
            )
            .await?;
        Ok(tx.commit().await?)
    }

    async fn end_of_parts(
        &self,
        ctx: &TenantCtx,
        ingestion: &Ingestion,
        progress: &Progress,
        queue: bool,
    ) -> Result<(), Error> {
        let mut tx = self.open(ctx, &ingestion.allowed_roles).await?;
        let jobs = self.jobs.as_ref().filter(|_| queue);
        let lease = match jobs {
            Some(_) => self.limits.lease.saturating_mul(QUEUED_LEASES),
            None => self.limits.lease,
        };
        if !self
            .ingestions
            .progress_in(&mut tx, ingestion.id, progress, lease)
            .await?
        {
            return Err(super::run::ended());
        }
        if let Some(jobs) = jobs {
            let job = NewJob::new(IngestHandler::KIND, json!({ "ingestion": ingestion.id }))
                .with_idempotency_key(ingestion.id.to_string());
            jobs.enqueue_in(&mut tx, job).await?;
        }
        Ok(tx.commit().await?)
    }
}

pub(super) fn as_i64(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
