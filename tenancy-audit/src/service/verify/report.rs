//! What verifying a file found.

use std::fmt;

use chrono::{DateTime, Utc};
use tenancy_core::TenantId;

use super::Verifier;
use crate::{AuditEntryId, Seal, model::Adoption};

/// How many findings a report names; more are counted.
pub(super) const MOST_FINDINGS: usize = 1_000;

/// How many characters of a name in the file a finding repeats.
const MOST_NAMED: usize = 64;

/// What verifying a file found.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ProofReport {
    /// Whose log it has to be.
    pub tenant: TenantId,
    /// How many seals it has.
    pub seals: u64,
    /// How many entries are as they were sealed.
    pub entries: u64,
    /// Of these, how many have a personal detail that was erased.
    pub erased: u64,
    /// How many entries were removed by retention, which signed for it.
    pub removed: u64,
    /// How many lines of the anchor were torn while they were written, by a full disk or a power cut: what they were to
    /// say stands in a later line. Who can tear lines can also take them away.
    pub torn: u64,
    /// The first 1,000 times that the log was adopted, after a restore or another move into a new cluster. What is
    /// lost with one is no finding, but it is lost.
    pub adoptions: Vec<LogAdoption>,
    /// The first 1,000 findings.
    pub findings: Vec<Finding>,
    /// How many there are.
    pub found: u64,
}

/// That the log was adopted, for which an operator signed: after a restore, or another move into a new cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LogAdoption {
    /// When.
    pub adopted_at: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// How many seals there were.
    pub seals: u64,
    /// How many entries these held.
    pub entries: u64,
    /// How many entries were sealed with it, as far as the file says. Transactions of two clusters can't be compared:
    /// that these stand in the order in which they were written is not proved.
    pub loose: u64,
    /// How many seals that an anchor knew are lost, as far as the file says: with a single proof comes only what names
    /// the numbers of its seals, among up to 10,000.
    pub lost: u64,
}

/// Something that was changed, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The line of the file, from 1; of something missing, the line where that shows.
    pub line: u64,
    /// The number of the seal.
    pub seal: Option<u64>,
    /// The place of the entry among all of the tenant's, from 1.
    pub place: Option<u64>,
    /// The entry.
    pub entry: Option<AuditEntryId>,
    /// What it is.
    pub fault: Fault,
}

/// What was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The adoption is not signed, or another tenant's.
    AdoptionForged,
    /// An anchor knows this many seals, and the file ends before: it was cut off, or made before the anchor got these
    /// heads.
    AnchorAhead(u64),
    /// An anchor saw another seal of this number: history was written anew.
    AnchorDiffers,
    /// A line of the anchor is no head that one of the keys signed.
    AnchorForged,
    /// The anchor saw two seals of this number: history was written anew and sealed again. The line is the
    /// anchor's.
    AnchorForked,
    /// The entry belongs to no place in this seal, or is there twice.
    EntryAdded,
    /// The entry is not as it was sealed.
    EntryChanged,
    /// The entry belongs to this tenant.
    EntryForeign(TenantId),
    /// The entry is gone.
    EntryMissing,
    /// The entry stands in another place than the one it was sealed in.
    EntryMoved,
    /// A part of this name of the entry has no meaning: somebody put it there without the log.
    EntryUnreadable(String),
    /// The entry is in no seal, though everything of its time was sealed: it was put in later.
    EntryUnsealed,
    /// The entry's personal detail of this name is not the one that was recorded. Of a long name, the
    /// first 64 characters.
    DetailChanged(String),
    /// The entry's personal detail of this name is gone, and nothing signed says that it was erased.
    DetailStripped(String),
    /// The newest seal that the first line names is not signed.
    HeadForged,
    /// The key of this name is not among the ones given. Of a long name, the first 64 characters.
    KeyUnknown(String),
    /// The log belongs to this tenant, not to the one that was expected.
    LogForeign(TenantId),
    /// The line can't be read, or could be read in several ways.
    Malformed,
    /// The proof does not hold for what it comes with.
    ProofBroken,
    /// The removal is not signed, or another tenant's.
    RemovalForged,
    /// The seal is not as it was signed.
    SealChanged,
    /// The seal belongs to this tenant.
    SealForeign(TenantId),
    /// The seal does not follow the one before it.
    SealUnlinked,
    /// The seals from this number to that are gone.
    SealsMissing(u64, u64),
    /// The seal is there twice, or stands in another place.
    SealMoved,
    /// The file ends in the middle.
    Truncated,
}

impl ProofReport {
    pub(super) fn new(verifier: &Verifier) -> Self {
        Self {
            tenant: verifier.tenant,
            seals: 0,
            entries: 0,
            erased: 0,
            removed: 0,
            torn: verifier.heads.torn,
            adoptions: Vec::new(),
            findings: Vec::new(),
            found: 0,
        }
    }

    /// Whether nothing was changed.
    pub fn is_intact(&self) -> bool {
        self.found == 0
    }

    /// Whether all that there is to find is that the anchor knows seals behind the file's last one: the newest seals
    /// were taken away, unless the heads were read after the file was made. Then take the heads, and after them the
    /// file again.
    pub fn is_behind(&self) -> bool {
        let ahead = |finding: &Finding| matches!(finding.fault, Fault::AnchorAhead(_));
        self.found == 1 && self.findings.iter().all(ahead)
    }

    /// What lost more seals than one record names has several of one time.
    pub(super) fn adopted(&mut self, adoption: &Adoption) {
        let lost = adoption.lost.len() as u64;
        let same = |told: &&mut LogAdoption| {
            (told.adopted_at, told.seals, &*told.reason)
                == (adoption.adopted_at, adoption.number, &*adoption.reason)
        };
        if let Some(told) = self.adoptions.iter_mut().find(same) {
            told.loose = told.loose.saturating_add(adoption.loose);
            told.lost = told.lost.saturating_add(lost);
        } else if self.adoptions.len() < MOST_FINDINGS {
            self.adoptions.push(LogAdoption {
                adopted_at: adoption.adopted_at,
                reason: adoption.reason.clone(),
                seals: adoption.number,
                entries: adoption.entries,
                loose: adoption.loose,
                lost,
            });
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }
}

impl Fault {
    pub(super) fn key_unknown(name: &str) -> Self {
        Self::KeyUnknown(shortened(name))
    }

    pub(super) fn detail_changed(name: &str) -> Self {
        Self::DetailChanged(shortened(name))
    }

    pub(super) fn detail_stripped(name: &str) -> Self {
        Self::DetailStripped(shortened(name))
    }

    pub(super) fn entry_unreadable(part: &str) -> Self {
        Self::EntryUnreadable(shortened(part))
    }

    pub(super) fn at(self, line: u64) -> Finding {
        Finding {
            line,
            seal: None,
            place: None,
            entry: None,
            fault: self,
        }
    }
}

/// A name as a file has it may be of any length.
fn shortened(name: &str) -> String {
    name.chars().take(MOST_NAMED).collect()
}

impl Finding {
    pub(super) fn seal(mut self, number: u64) -> Self {
        self.seal = Some(number);
        self
    }

    pub(super) fn place(mut self, place: u64) -> Self {
        self.place = Some(place);
        self
    }

    /// In the seal, and in this place of it if it has one.
    pub(super) fn in_seal(self, seal: &Seal, place: Option<usize>) -> Self {
        let finding = self.seal(seal.number);
        match place {
            Some(place) => finding.place(seal.first.saturating_add(place as u64)),
            None => finding,
        }
    }

    pub(super) fn entry(mut self, entry: AuditEntryId) -> Self {
        self.entry = Some(entry);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fault == Fault::Malformed {
            return write!(f, "malformed line {}", self.line);
        }
        write!(f, "line {}", self.line)?;
        if let Some(seal) = self.seal {
            write!(f, ", seal {seal}")?;
        }
        if let Some(place) = self.place {
            write!(f, ", place {place}")?;
        }
        if let Some(entry) = self.entry {
            write!(f, ", entry {entry}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::AdoptionForged => "the adoption is not signed for this tenant",
            Self::AnchorAhead(number) => return write!(f, "the anchor knows seals up to {number}"),
            Self::AnchorDiffers => "the anchor saw another seal of this number",
            Self::AnchorForged => "the anchor's line is no signed head",
            Self::AnchorForked => {
                "the anchor saw two seals of this number (the line is the anchor's)"
            }
            Self::EntryAdded => "the entry was added",
            Self::EntryChanged => "the entry was changed",
            Self::EntryForeign(tenant) => return write!(f, "the entry belongs to tenant {tenant}"),
            Self::EntryMissing => "the entry is missing",
            Self::EntryMoved => "the entry was moved",
            Self::EntryUnreadable(part) => {
                return write!(
                    f,
                    "the entry's part `{}` has no meaning",
                    part.escape_debug()
                );
            }
            Self::EntryUnsealed => "the entry was put in where everything was sealed",
            Self::DetailChanged(name) => {
                let name = name.escape_debug();
                return write!(f, "the personal detail `{name}` was changed");
            }
            Self::DetailStripped(name) => {
                let name = name.escape_debug();
                return write!(f, "the personal detail `{name}` is gone and was not erased");
            }
            Self::HeadForged => "the newest seal that is named is not signed",
            Self::KeyUnknown(name) => {
                return write!(f, "there is no key `{}`", name.escape_debug());
            }
            Self::LogForeign(tenant) => {
                return write!(
                    f,
                    "the log belongs to tenant {tenant}, another one than expected"
                );
            }
            Self::Malformed => "the line can't be read in one way",
            Self::ProofBroken => "the proof does not hold",
            Self::RemovalForged => "the removal is not signed for this tenant",
            Self::SealChanged => "the seal was changed",
            Self::SealForeign(tenant) => return write!(f, "the seal belongs to tenant {tenant}"),
            Self::SealUnlinked => "the seal does not follow the one before",
            Self::SealsMissing(from, to) => {
                return write!(f, "the seals {from} to {to} are missing");
            }
            Self::SealMoved => "the seal was moved, or is there twice",
            Self::Truncated => "the file ends in the middle",
        };
        f.write_str(text)
    }
}
