//! Handing out proofs.

use std::{fmt, sync::Arc};

use futures_util::{Stream, stream};
use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Event, OperatorDb, TenantCtx, TenantDb, TenantId,
};
use uuid::Uuid;

use super::perm;
use crate::{
    AuditEntryId, ConsistencyProof, Error, ErrorKind, InclusionProof, SealHead, merkle,
    model::ProofLine,
    postgres::{Reader, Reading},
};

/// The most seals over which a proof of consistency is made: a billion entries.
const MOST_SEALS: u64 = 1_000_000;

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
        let held = reading.holding(ctx.tenant(), entry).await?;
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
    /// [`ConsistencyProof::verify`].
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `audit.read`; [`NotFound`](ErrorKind::NotFound)
    /// `audit_seal_unknown`; [`InvalidInput`](ErrorKind::InvalidInput) `audit_seals_too_many`.
    pub async fn consistency(
        &self,
        ctx: &TenantCtx,
        from: u64,
        to: u64,
    ) -> Result<ConsistencyProof, Error> {
        if to > MOST_SEALS {
            let message = format!("a proof reaches over {MOST_SEALS} seals at most");
            return Err(Error::invalid("audit_seals_too_many", message));
        }
        let mut reading = self.reading(ctx).await?;
        let tenant = ctx.tenant();
        let unknown = || {
            let message = format!("there are no seals `{from}` and, not before it, `{to}`");
            Error::new(ErrorKind::NotFound, "audit_seal_unknown", message)
        };
        let (first, _) = reading.seal(tenant, from).await?.ok_or_else(unknown)?;
        let (second, _) = reading.seal(tenant, to).await?.ok_or_else(unknown)?;
        let hashes = reading.hashes(tenant, to).await?;
        let first_size = usize::try_from(from).map_err(|_| unknown())?;
        let path = merkle::consistency_path(&hashes, first_size).ok_or_else(unknown)?;
        Ok(ConsistencyProof {
            from: first.head(),
            to: second.head(),
            path,
        })
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

/// A running export of sealed entries; made by [`AuditProofs::export`].
///
/// The entries come seal by seal, as they were sealed; those not sealed yet are not part of it. It holds
/// no transaction between two seals.
#[derive(Debug)]
pub struct ProofExport {
    reader: Reader,
    at: At,
    entries: u64,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Header,
    Seal { number: u64, newest: u64 },
    Removals { after: Uuid, seals: u64 },
    End,
}

impl ProofExport {
    fn new(reader: Reader) -> Self {
        Self {
            reader,
            at: At::Header,
            entries: 0,
        }
    }

    /// As the operator, who records nothing; also of a tenant that is gone.
    pub fn of_operator(operator: OperatorDb, tenant: TenantId) -> Self {
        Self::new(Reader::Owner(operator, tenant))
    }

    /// The next lines, those of one seal at most, each ended by a line feed; `None` at the end.
    ///
    /// After an error the same lines can be asked for again.
    pub async fn next_lines(&mut self) -> Result<Option<String>, Error> {
        let mut lines = String::new();
        let tenant = self.reader.tenant();
        self.at = match self.at {
            At::Header => {
                let mut reading = self.reader.begin().await?;
                let newest = reading.newest(tenant).await?;
                let head = reading
                    .seal(tenant, newest)
                    .await?
                    .map(|(seal, _)| seal.head());
                ProofLine::header(tenant, head).write(&mut lines)?;
                At::seal(1, newest)
            }
            At::Seal { number, newest } => {
                self.seal(number, &mut lines).await?;
                At::seal(number + 1, newest)
            }
            At::Removals { after, seals } => {
                let removals = self.reader.begin().await?.removals(tenant, after).await?;
                let last = removals.last().map(|removal| removal.id);
                for removal in removals {
                    ProofLine::removal(removal).write(&mut lines)?;
                }
                if let Some(after) = last {
                    At::Removals { after, seals }
                } else {
                    ProofLine::end(seals, self.entries).write(&mut lines)?;
                    At::End
                }
            }
            At::End => return Ok(None),
        };
        Ok(Some(lines))
    }

    /// The whole export as a stream of chunks. Ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<String, Error>> + Send {
        stream::try_unfold(self, |mut export| async move {
            Ok(export.next_lines().await?.map(|lines| (lines, export)))
        })
    }

    /// A seal and its entries. Where there is none the reader of the file sees that it is missing.
    async fn seal(&mut self, number: u64, lines: &mut String) -> Result<(), Error> {
        let (tenant, mut reading) = (self.reader.tenant(), self.reader.begin().await?);
        let Some((seal, batch)) = reading.seal(tenant, number).await? else {
            return Ok(());
        };
        let entries = reading.entries(tenant, &batch).await?;
        ProofLine::seal(seal, &batch).write(lines)?;
        for (entry, stored) in &entries {
            ProofLine::write_entry(entry, *stored, lines)?;
        }
        self.entries += entries.len() as u64;
        Ok(())
    }
}

impl At {
    fn seal(number: u64, newest: u64) -> Self {
        if number <= newest {
            Self::Seal { number, newest }
        } else {
            Self::Removals {
                after: Uuid::nil(),
                seals: newest,
            }
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
