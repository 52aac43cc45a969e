//! Handing out proofs.

use std::{fmt, sync::Arc};

use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Event, OperatorDb, PlatformEvent, PlatformEventKind,
    PlatformEvents, TenantCtx, TenantDb, TenantId,
};
use uuid::Uuid;

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
/// What proves something to others is a file, which [`Verifier`] and `tenancy audit verify` read with a public key
/// and nothing else: of one entry, of two states of the log, or of all of it.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::{AuditEntryId, AuditProofs, Error};
/// # use tenancy_core::{AuditSink, Authorizer, TenantCtx, TenantDb};
/// # async fn run(db: TenantDb, ctx: TenantCtx, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>, entry: AuditEntryId) -> Result<(), Error> {
/// let proofs = AuditProofs::new(db, authorizer, audit);
/// let file = proofs.inclusion_file(&ctx, entry).await?; // for an auditor, with the public key
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

    /// Proves that an entry is sealed, to who reads the entry from the log himself: see
    /// [`InclusionProof::verify`]. For others there is [`inclusion_file`](Self::inclusion_file).
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

    /// An entry and the proof that it is sealed, as the text of a file that [`Verifier::verify`] takes: a line, and
    /// behind it one for each adoption that names the number of its seal as lost. Its details are in the file as the
    /// log holds them.
    ///
    /// Records `audit.exported` before anything is handed out.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.export`; [`NotFound`](ErrorKind::NotFound)
    /// `audit_entry_not_sealed` as of [`inclusion`](Self::inclusion); an export that can't be recorded does not
    /// happen.
    pub async fn inclusion_file(
        &self,
        ctx: &TenantCtx,
        entry: AuditEntryId,
    ) -> Result<String, Error> {
        let reader = self.exporting(ctx).await?;
        let file = inclusion_file(&reader, entry).await?;
        let event = exported(ctx).target("audit_entry", entry);
        self.audit.record(ctx, event).await?;
        Ok(file)
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

    /// What [`consistency`](Self::consistency) proves, as the text of a file that [`Verifier::verify`] takes.
    ///
    /// Records `audit.exported` before anything is handed out.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.export`; [`NotFound`](ErrorKind::NotFound)
    /// `audit_seal_unknown`; an export that can't be recorded does not happen.
    pub async fn consistency_file(
        &self,
        ctx: &TenantCtx,
        from: u64,
        to: u64,
    ) -> Result<String, Error> {
        let reader = self.exporting(ctx).await?;
        let file = consistency_file(&reader, (from, to)).await?;
        let event = exported(ctx).meta("from_seal", from).meta("to_seal", to);
        self.audit.record(ctx, event).await?;
        Ok(file)
    }

    /// Verifies the log as it stands in the database: what [`Verifier::verify`] finds in an export of it,
    /// without one.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`.
    pub async fn verify(&self, ctx: &TenantCtx, verifier: &Verifier) -> Result<ProofReport, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        ProofExport::new(self.reader(ctx)).verify(verifier).await
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
        let reader = self.exporting(ctx).await?;
        self.audit.record(ctx, exported(ctx)).await?;
        Ok(ProofExport::new(reader))
    }

    /// Of who may hand the log out.
    async fn exporting(&self, ctx: &TenantCtx) -> Result<Reader, Error> {
        self.authorizer
            .require(ctx, perm::AuditExport::get())
            .await?;
        Ok(self.reader(ctx))
    }

    async fn reading(&self, ctx: &TenantCtx) -> Result<Reading, Error> {
        self.authorizer.require(ctx, perm::AuditRead::get()).await?;
        self.reader(ctx).begin().await
    }

    fn reader(&self, ctx: &TenantCtx) -> Reader {
        Reader::App(self.db.clone(), Box::new(ctx.clone()))
    }
}

/// Proofs for whoever runs the database, also about the log of a tenant that is gone: files as those of
/// [`AuditProofs`].
///
/// Each that is handed out is recorded first in the [platform's log](PlatformEvents), as `audit.exported` by the login
/// of the database. The tenant's own log takes no entry from that login, which is no actor of the tenant: where the
/// tenant is to read of it, hand out what [`AuditProofs`] gives.
///
/// ```no_run
/// # use tenancy_audit::{AuditEntryId, Error, OperatorProofs, Verifier};
/// # use tenancy_core::{OperatorDb, TenantId};
/// # async fn run(operator: OperatorDb, gone: TenantId, entry: AuditEntryId, verifier: Verifier) -> Result<(), Error> {
/// let proofs = OperatorProofs::new(operator, gone);
/// let file = proofs.inclusion_file(entry).await?;
/// assert!(verifier.verify(file.as_bytes())?.is_intact());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct OperatorProofs {
    operator: OperatorDb,
    tenant: TenantId,
}

impl OperatorProofs {
    /// Proofs about this tenant's log.
    pub fn new(operator: OperatorDb, tenant: TenantId) -> Self {
        Self { operator, tenant }
    }

    /// As [`AuditProofs::inclusion_file`].
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) `audit_entry_not_sealed`; an export that can't be recorded does not happen.
    pub async fn inclusion_file(&self, entry: AuditEntryId) -> Result<String, Error> {
        let file = inclusion_file(&self.reader(), entry).await?;
        self.record("proof_of_entry").await?;
        Ok(file)
    }

    /// As [`AuditProofs::consistency_file`].
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) `audit_seal_unknown`; an export that can't be recorded does not happen.
    pub async fn consistency_file(&self, from: u64, to: u64) -> Result<String, Error> {
        let file = consistency_file(&self.reader(), (from, to)).await?;
        self.record("proof_of_states").await?;
        Ok(file)
    }

    /// As [`AuditProofs::export`].
    ///
    /// # Errors
    /// An export that can't be recorded does not happen.
    pub async fn export(&self) -> Result<ProofExport, Error> {
        self.record("proof_of_log").await?;
        Ok(ProofExport::new(self.reader()))
    }

    /// As [`AuditProofs::verify`]. Hands nothing out and records nothing.
    ///
    /// # Errors
    /// What reading the log answers.
    pub async fn verify(&self, verifier: &Verifier) -> Result<ProofReport, Error> {
        ProofExport::new(self.reader()).verify(verifier).await
    }

    fn reader(&self) -> Reader {
        Reader::Owner(self.operator.clone(), self.tenant)
    }

    async fn record(&self, what: &'static str) -> Result<(), Error> {
        let event =
            PlatformEvent::new(PlatformEventKind::LogExported, what).with_tenant(self.tenant);
        let events = PlatformEvents::new(self.operator.clone());
        Ok(events.record(&event).await?)
    }
}

/// What says that a tenant handed out a proof.
fn exported(ctx: &TenantCtx) -> Event {
    Event::new("audit.exported")
        .target("audit_log", ctx.tenant())
        .meta("format", "proof")
}

async fn inclusion_file(reader: &Reader, entry: AuditEntryId) -> Result<String, Error> {
    let (tenant, mut reading) = (reader.tenant(), reader.begin().await?);
    let proof = inclusion(&mut reading, tenant, entry).await?;
    let found = reading.entries_of(tenant, &[entry.as_uuid()]).await?;
    let (entry, stored) = found.first().ok_or_else(|| not_sealed(entry))?;
    let line = model::inclusion_line(entry, *stored, &proof)?;
    with_adoptions(&mut reading, tenant, &[proof.seal.number], line).await
}

async fn consistency_file(reader: &Reader, seals: (u64, u64)) -> Result<String, Error> {
    let (tenant, mut reading) = (reader.tenant(), reader.begin().await?);
    let proof = consistency(&mut reading, tenant, seals).await?;
    let line = model::consistency_line(&proof)?;
    with_adoptions(&mut reading, tenant, &[seals.0, seals.1], line).await
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
        created_at: stored.created_at,
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

/// A proof with those of the log's adoptions that name one of its seals' numbers: an anchor knows a seal of that number
/// that is lost.
async fn with_adoptions(
    reading: &mut Reading,
    tenant: TenantId,
    numbers: &[u64],
    mut lines: String,
) -> Result<String, Error> {
    let mut after = Uuid::nil();
    loop {
        let adoptions = reading.adoptions_naming(tenant, after, numbers).await?;
        let Some((last, _)) = adoptions.last() else {
            return Ok(lines);
        };
        after = *last;
        for adoption in adoptions.into_iter().filter_map(|(_, adoption)| adoption) {
            ProofLine::adoption(adoption).write(&mut lines)?;
        }
    }
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
