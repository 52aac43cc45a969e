//! Handing out proofs.

use std::{fmt, sync::Arc};

use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Event, OperatorDb, TenantCtx, TenantDb, TenantId,
};

use super::{
    perm,
    proof_export::ProofExport,
    verify::{ProofReport, Verifier},
};
use crate::{
    AuditEntryId, ConsistencyProof, Error, ErrorKind, InclusionProof, SealHead, merkle,
    model::{self, ProofLine},
    postgres::{Reader, Reading},
};

/// Proves to a tenant that its log is whole.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::{AuditEntryId, AuditProofs, Error};
/// # use tenancy_core::{AuditSink, Authorizer, TenantCtx, TenantDb};
/// # async fn run(db: TenantDb, ctx: TenantCtx, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>, entry: AuditEntryId) -> Result<(), Error> {
/// let proofs = AuditProofs::new(db, authorizer, audit);
/// let proof = proofs.inclusion(&ctx, entry).await?;
/// let mut export = proofs.export(&ctx).await?;
/// while let Some(lines) = export.next_lines().await? {
///     // … to a file, for `tenancy audit verify`
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuditProofs {
    db: TenantDb,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
}

impl AuditProofs {
    /// Puts the service together.
    pub fn new(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>) -> Self {
        Self {
            db,
            authorizer,
            audit,
        }
    }

    /// Proves that an entry is sealed: see [`InclusionProof::verify`].
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`; [`NotFound`](ErrorKind::NotFound)
    /// `audit_entry_not_sealed` if there is no such entry or it waits for its seal.
    pub async fn inclusion(
        &self,
        ctx: &TenantCtx,
        entry: AuditEntryId,
    ) -> Result<InclusionProof, Error> {
        let mut reading = self.reading(ctx).await?;
        inclusion(&mut reading, ctx.tenant(), entry).await
    }

    /// The newest seal; `None` before the first.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`.
    pub async fn head(&self, ctx: &TenantCtx) -> Result<Option<SealHead>, Error> {
        let mut reading = self.reading(ctx).await?;
        let newest = reading.newest(ctx.tenant()).await?;
        Ok(reading
            .seal(ctx.tenant(), newest)
            .await?
            .map(|(seal, _)| seal.head()))
    }

    /// Proves that what stood at one seal is the beginning of what stood at a later one: see
    /// [`ConsistencyProof::verify`]. It reads a few seals, of however many there are.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`; [`NotFound`](ErrorKind::NotFound)
    /// `audit_seal_unknown`.
    pub async fn consistency(
        &self,
        ctx: &TenantCtx,
        from: u64,
        to: u64,
    ) -> Result<ConsistencyProof, Error> {
        let mut reading = self.reading(ctx).await?;
        consistency(&mut reading, ctx.tenant(), (from, to)).await
    }

    /// Verifies the log as it stands in the database: what [`Verifier::verify`] finds in an export of it,
    /// without one.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`.
    pub async fn verify(&self, ctx: &TenantCtx, verifier: &Verifier) -> Result<ProofReport, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        let reader = Reader::App(self.db.clone(), Box::new(ctx.clone()));
        ProofExport::new(reader).verify(verifier).await
    }

    /// Starts an export of everything that is sealed, with its seals, which [`Verifier`](crate::Verifier)
    /// checks without a database.
    ///
    /// Records `audit.exported` before anything is handed out.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.export`; an export that can't be recorded does
    /// not happen.
    pub async fn export(&self, ctx: &TenantCtx) -> Result<ProofExport, Error> {
        self.authorizer
            .require(ctx, perm::AuditExport::get())
            .await?;
        let event = Event::new("audit.exported")
            .target("audit_log", ctx.tenant())
            .meta("format", "proof");
        self.audit.record(ctx, event).await?;
        Ok(ProofExport::new(Reader::App(
            self.db.clone(),
            Box::new(ctx.clone()),
        )))
    }

    async fn reading(&self, ctx: &TenantCtx) -> Result<Reading, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        Reader::App(self.db.clone(), Box::new(ctx.clone()))
            .begin()
            .await
    }
}

/// Proofs for whoever runs the database, also about the log of a tenant that is gone. Each is a line of text, with a
/// line for each time that the log was adopted behind it, that [`Verifier::verify`] takes as a file.
#[derive(Debug)]
pub struct OperatorProofs(Reader);

impl OperatorProofs {
    /// Proofs about this tenant's log.
    pub fn new(operator: OperatorDb, tenant: TenantId) -> Self {
        Self(Reader::Owner(operator, tenant))
    }

    /// The entry, and the proof that it is sealed.
    ///
    /// # Errors
    /// As [`AuditProofs::inclusion`].
    pub async fn inclusion(&self, entry: AuditEntryId) -> Result<String, Error> {
        let (tenant, mut reading) = (self.0.tenant(), self.0.begin().await?);
        let proof = inclusion(&mut reading, tenant, entry).await?;
        let found = reading.entries_of(tenant, &[entry.as_uuid()]).await?;
        let (entry, stored) = found.first().ok_or_else(|| not_sealed(entry))?;
        let line = model::inclusion_line(entry, *stored, &proof)?;
        with_adoptions(&mut reading, tenant, line).await
    }

    /// The proof that what stood at one seal is the beginning of what stood at a later one.
    ///
    /// # Errors
    /// As [`AuditProofs::consistency`].
    pub async fn consistency(&self, from: u64, to: u64) -> Result<String, Error> {
        let (tenant, mut reading) = (self.0.tenant(), self.0.begin().await?);
        let proof = consistency(&mut reading, tenant, (from, to)).await?;
        let line = model::consistency_line(&proof)?;
        with_adoptions(&mut reading, tenant, line).await
    }
}

async fn inclusion(
    reading: &mut Reading,
    tenant: TenantId,
    entry: AuditEntryId,
) -> Result<InclusionProof, Error> {
    let held = reading.holding(tenant, entry).await?;
    let (seal, batch, stored) = held.ok_or_else(|| not_sealed(entry))?;
    let index = batch.ids.iter().position(|id| *id == entry.as_uuid());
    let path = index.and_then(|index| merkle::inclusion_path(&batch.leaves, index));
    let (Some(index), Some(path)) = (index, path) else {
        return Err(not_sealed(entry));
    };
    Ok(InclusionProof {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        path,
        created_at: stored.created_at.timestamp_micros(),
        transaction: stored.transaction,
        seal,
    })
}

async fn consistency(
    reading: &mut Reading,
    tenant: TenantId,
    (from, to): (u64, u64),
) -> Result<ConsistencyProof, Error> {
    let unknown = || {
        let message = format!("there are no seals `{from}` and, not before it, `{to}`");
        Error::new(ErrorKind::NotFound, "audit_seal_unknown", message)
    };
    let (first, _) = reading.seal(tenant, from).await?.ok_or_else(unknown)?;
    let (second, _) = reading.seal(tenant, to).await?.ok_or_else(unknown)?;
    let parts = model::consistency_parts(from, to).ok_or_else(unknown)?;
    let nodes = reading.nodes(tenant, &model::needed(&parts)).await?;
    let path = parts.iter().map(|part| model::root_of(*part, &nodes));
    Ok(ConsistencyProof {
        from: first.head(),
        to: second.head(),
        path: path.collect::<Option<_>>().ok_or_else(unknown)?,
    })
}

/// A proof with the log's adoptions, which say what an anchor knows and is lost.
async fn with_adoptions(
    reading: &mut Reading,
    tenant: TenantId,
    mut lines: String,
) -> Result<String, Error> {
    for adoption in reading.adoptions(tenant).await? {
        ProofLine::adoption(adoption).write(&mut lines)?;
    }
    Ok(lines)
}

fn not_sealed(entry: AuditEntryId) -> Error {
    let message = format!("there is no entry `{entry}`, or it waits for its seal");
    Error::new(ErrorKind::NotFound, "audit_entry_not_sealed", message)
}

impl fmt::Debug for AuditProofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditProofs").finish_non_exhaustive()
    }
}
