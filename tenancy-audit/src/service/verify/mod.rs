//! Verifying a log without a database.

mod adoptions;
mod heads;
mod lines;
mod open;
mod report;
mod run;
mod single;

use std::{fmt, io::BufRead};

use tenancy_core::TenantId;

use crate::{Error, SealKeys};
use heads::Heads;
pub(super) use heads::is_torn;
use lines::Line;
pub(super) use lines::Lines;
pub use report::{Fault, Finding, LogAdoption, ProofReport};
use run::Run;

/// Verifies a file made by [`ProofExport`](crate::ProofExport) with nothing but the public keys: Merkle trees and
/// proofs as RFC 6962, section 2.1, has them, signed with Ed25519 (RFC 8032).
///
/// Says of everything that was changed what it is and where: an entry edited, missing, added, moved, without a
/// meaning, of another tenant, or put in where everything was sealed; a detail changed or stripped; a seal
/// changed, missing or moved; a file cut off. What was removed by retention, and details that were erased, are
/// no findings: both are signed for.
///
/// That the newest seals were taken away together with the first line's mention of them shows only with
/// the heads of an anchor: see [`with_anchor`](Self::with_anchor).
///
/// It reads line by line and keeps one seal in memory, so that a file may be of any size; of an anchor it keeps the
/// tenant's heads, 56 bytes each; of more than two million an even share and each file's last: a log that lost its
/// newest seals may then show only when it lacks some more.
///
/// ```
/// use tenancy_audit::{Ed25519Signer, SealKeys, Verifier};
/// use tenancy_core::TenantId;
///
/// let signer = Ed25519Signer::parse(Ed25519Signer::generate("2026-a")?.expose())?;
/// let verifier = Verifier::new(TenantId::new(), SealKeys::new([signer.public_key()]));
/// let error = verifier.verify(&b"\x00\xff not a log"[..]).unwrap_err();
/// assert_eq!(error.code(), "audit_proof_format");
/// # Ok::<(), tenancy_audit::Error>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    tenant: TenantId,
    keys: SealKeys,
    heads: Heads,
}

impl Verifier {
    /// Verifies under these keys that it is this tenant's log, and whole: the log of another one is in order
    /// under the same keys, too.
    pub fn new(tenant: TenantId, keys: SealKeys) -> Self {
        Self {
            tenant,
            keys,
            heads: Heads::new(tenant),
        }
    }

    /// Adds what an anchor kept: one head a line, as [`FileAnchor`](crate::FileAnchor) writes them. Heads of other
    /// tenants are passed over.
    ///
    /// Take the heads **before** the log, by a copy: then all that they know has to be in it. Of heads that were read
    /// later it can't be said whether the log is older or lost its newest seals
    /// ([`ProofReport::is_behind`]).
    ///
    /// Heads may come in any order, and from several files.
    ///
    /// A line that is something else than a head, or a head that none of the keys signed, becomes a finding of the
    /// report, and so does a second head of a number that differs from the first: somebody took seals away, and the
    /// sealer went on from what was left. Those that an [adoption](crate::Adopter) names as lost are told apart.
    /// Lines that were torn while they were written are counted ([`ProofReport::torn`]).
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) `audit_proof_unreadable` if it can't be read.
    pub fn with_anchor(mut self, heads: impl BufRead) -> Result<Self, Error> {
        self.heads.read(heads, &self.keys)?;
        Ok(self)
    }

    /// Verifies a file: an export with its seals, or a single proof, as
    /// [`OperatorProofs`](crate::OperatorProofs) hands them out. Of what follows a single proof only adoptions are
    /// looked at.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) `audit_proof_format` if the first line is not
    /// the one such a file begins with; [`Unavailable`](crate::ErrorKind::Unavailable)
    /// `audit_proof_unreadable` if it can't be read. Whatever else is wrong stands in the report.
    pub fn verify(&self, file: impl BufRead) -> Result<ProofReport, Error> {
        let mut lines = Lines::new(file);
        let first = lines.next()?;
        let first = first.as_ref().and_then(Line::bytes).map(<[u8]>::to_vec);
        let first = first.unwrap_or_default();
        if let Some(report) = single::verify(self, &first, &mut lines)? {
            return Ok(report);
        }
        let mut run = Run::begin(self, Some(&Line::of(1, &first)))?;
        while let Some(line) = lines.next()? {
            run.line(&line);
        }
        Ok(run.finish())
    }
}

/// A log that is being verified as it is read.
pub(in crate::service) struct Verifying<'a> {
    verifier: &'a Verifier,
    run: Option<Run<'a>>,
    lines: u64,
}

impl Verifier {
    pub(in crate::service) fn begin(&self) -> Verifying<'_> {
        Verifying {
            verifier: self,
            run: None,
            lines: 0,
        }
    }
}

impl Verifying<'_> {
    /// Takes whole lines.
    pub(in crate::service) fn take(&mut self, lines: &str) -> Result<(), Error> {
        for line in lines.lines() {
            self.lines += 1;
            let line = Line::of(self.lines, line.as_bytes());
            match &mut self.run {
                Some(run) => run.line(&line),
                None => self.run = Some(Run::begin(self.verifier, Some(&line))?),
            }
        }
        Ok(())
    }

    pub(in crate::service) fn finish(self) -> Result<ProofReport, Error> {
        match self.run {
            Some(run) => Ok(run.finish()),
            None => Run::begin(self.verifier, None).map(Run::finish),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
