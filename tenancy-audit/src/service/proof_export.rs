//! A whole log with its seals, as lines.

use futures_util::{Stream, stream};
use uuid::Uuid;

use super::{
    unsealed::Walk,
    verify::{ProofReport, Verifier},
};
use crate::{Error, model::ProofLine, postgres::Reader};

/// A running export of sealed entries; made by [`AuditProofs::export`](crate::AuditProofs::export).
///
/// The entries come seal by seal, as they were sealed; those not sealed yet are not part of it. Those that
/// are in no seal, though everything of their time was sealed, are named. It holds no transaction between
/// two seals.
///
/// ```no_run
/// # use std::io::Write;
/// # use tenancy_audit::{AuditProofs, Error};
/// # async fn run(proofs: AuditProofs, ctx: tenancy_core::TenantCtx, mut file: std::fs::File)
/// #     -> Result<(), Box<dyn std::error::Error>> {
/// let mut export = proofs.export(&ctx).await?;
/// while let Some(lines) = export.next_lines().await? {
///     file.write_all(lines.as_bytes())?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ProofExport {
    reader: Reader,
    at: At,
    entries: u64,
    /// What transactions below this one wrote is sealed.
    horizon: u64,
    walk: Walk,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Header,
    Adoptions { after: Uuid, newest: u64 },
    Seal { number: u64, newest: u64 },
    Unsealed { seals: u64 },
    Removals { after: Uuid, seals: u64 },
    End,
}

impl ProofExport {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            at: At::Header,
            entries: 0,
            horizon: 0,
            walk: Walk::default(),
        }
    }

    /// The next lines, those of one seal or of ten adoptions at most, each ended by a line feed; `None` at the end.
    ///
    /// After an error the same lines can be asked for again.
    ///
    /// # Errors
    /// What the database answers; [`Internal`](crate::ErrorKind::Internal) `audit_seal_unreadable` for a row of a
    /// shape that this version can't read.
    pub async fn next_lines(&mut self) -> Result<Option<String>, Error> {
        let mut lines = String::new();
        let tenant = self.reader.tenant();
        self.at = match self.at {
            At::Header => {
                let mut reading = self.reader.begin().await?;
                // First the horizon: what lies below it is in the seals that are read later.
                self.horizon = reading.horizon().await?;
                let newest = reading.newest(tenant).await?;
                let head = reading
                    .seal(tenant, newest)
                    .await?
                    .map(|(seal, _)| seal.head());
                ProofLine::header(tenant, head, self.horizon).write(&mut lines)?;
                At::Adoptions {
                    after: Uuid::nil(),
                    newest,
                }
            }
            At::Adoptions { after, newest } => {
                let mut reading = self.reader.begin().await?;
                let adoptions = reading.adoptions(tenant, after).await?;
                let last = adoptions.last().map(|(id, _)| *id);
                for adoption in adoptions.into_iter().filter_map(|(_, adoption)| adoption) {
                    ProofLine::adoption(adoption).write(&mut lines)?;
                }
                last.map_or(At::seal(1, newest), |after| At::Adoptions { after, newest })
            }
            At::Seal { number, newest } => {
                self.seal(number, &mut lines).await?;
                At::seal(number + 1, newest)
            }
            At::Unsealed { seals } => self.unsealed(seals, &mut lines).await?,
            At::Removals { after, seals } => {
                let removals = self.reader.begin().await?.removals(tenant, after).await?;
                let last = removals.last().map(|(id, _)| *id);
                for removal in removals.into_iter().filter_map(|(_, removal)| removal) {
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
            self.horizon = self.horizon.max(stored.transaction);
            ProofLine::write_entry(entry, *stored, lines)?;
        }
        self.entries += entries.len() as u64;
        Ok(())
    }

    /// What lies below the horizon and is in no seal.
    async fn unsealed(&mut self, seals: u64, lines: &mut String) -> Result<At, Error> {
        let tenant = self.reader.tenant();
        let mut reading = self.reader.begin().await?;
        let Some(page) = self.walk.next(&mut reading, tenant).await? else {
            return Ok(At::Removals {
                after: Uuid::nil(),
                seals,
            });
        };
        for found in page {
            if found.transaction < self.horizon {
                ProofLine::Unsealed(found).write(lines)?;
            }
        }
        Ok(At::Unsealed { seals })
    }

    /// Verifies what it would hand out, as [`Verifier::verify`] does.
    pub(super) async fn verify(mut self, verifier: &Verifier) -> Result<ProofReport, Error> {
        let mut verifying = verifier.begin();
        while let Some(lines) = self.next_lines().await? {
            verifying.take(&lines)?;
        }
        verifying.finish()
    }
}

impl At {
    fn seal(number: u64, newest: u64) -> Self {
        if number <= newest {
            Self::Seal { number, newest }
        } else {
            Self::Unsealed { seals: newest }
        }
    }
}
