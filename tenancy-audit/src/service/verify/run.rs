//! One file.

use tenancy_core::TenantId;
use uuid::Uuid;

use super::{
    Verifier,
    adoptions::Adoptions,
    heads::{Heads, Known},
    lines::Line,
    open::{Judged, Open},
    report::{Fault, Finding, ProofReport},
};
use crate::{
    AuditEntryId, Error, SealHead, SealKeys,
    model::{
        Adoption, Chain, Damaged, End, EntrySeen, FORMAT, Header, ProofLine, Ranges, Removal,
        Scratch, SealLine, Unsealed, numbers_are_exact,
    },
};

/// The most stretches of entries, removed and missing, that are remembered: of a larger number the
/// missing ones are reported as missing at once.
const MOST_STRETCHES: usize = 1_000_000;

/// The most entries that did not come of which the ids are remembered; of more, the places are.
const MOST_NAMES: usize = 1_000_000;

pub(super) struct Run<'a> {
    verifier: &'a Verifier,
    keys: &'a SealKeys,
    heads: &'a Heads,
    adoptions: Adoptions,
    tenant: TenantId,
    /// The newest seal by the first line.
    newest: u64,
    report: ProofReport,
    /// What transactions below this one wrote was sealed: by the first line, or by an entry that was.
    horizon: u64,
    /// Where the next seal goes on; the tree of all is unknown behind a gap.
    chain: Chain,
    linked: Linked,
    next: u64,
    open: Option<Open>,
    missing: Vec<Missing>,
    /// How many ids these have in all.
    named: usize,
    removed: Vec<(u64, u64)>,
    ended: bool,
    /// The last line, if what it counts is not what came.
    unfit: Option<u64>,
    /// How many lines were entries.
    entries: u64,
    line: u64,
    /// The memory in which entries are hashed.
    scratch: Scratch,
}

/// What is known of the seal before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Linked {
    /// Nothing, so that links can't be judged.
    Not,
    /// Its hash.
    Hash,
    /// Its hash, and all before it.
    Whole,
}

/// Entries of one seal that did not come, next to each other.
struct Missing {
    first: u64,
    last: u64,
    seal: u64,
    line: u64,
    /// Their ids, or the first of them.
    entries: Vec<Uuid>,
}

impl<'a> Run<'a> {
    pub(super) fn begin(verifier: &'a Verifier, first: Option<&Line<'_>>) -> Result<Self, Error> {
        let header = first
            .and_then(Line::bytes)
            .and_then(|bytes| serde_json::from_slice(bytes).ok());
        let Some(ProofLine::Header(Header {
            format,
            tenant_id,
            head,
            horizon,
        })) = header
        else {
            return Err(no_proof());
        };
        if format != FORMAT {
            return Err(no_proof());
        }
        let tenant = verifier.tenant;
        let mut run = Self {
            verifier,
            keys: &verifier.keys,
            heads: &verifier.heads,
            adoptions: Adoptions::default(),
            tenant,
            newest: head.as_ref().map_or(0, |head| head.number),
            report: ProofReport::new(verifier),
            horizon,
            chain: Chain::default(),
            linked: Linked::Whole,
            next: 1,
            open: None,
            missing: Vec::new(),
            named: 0,
            removed: Vec::new(),
            ended: false,
            unfit: None,
            entries: 0,
            line: 1,
            scratch: Scratch::new(),
        };
        if tenant_id != tenant {
            run.add(Fault::LogForeign(tenant_id));
        }
        for line in &verifier.heads.forged {
            run.report.add(Fault::AnchorForged.at(*line));
        }
        if let Some(head) = head {
            run.head(&head);
        }
        Ok(run)
    }

    pub(super) fn line(&mut self, line: &Line<'_>) {
        self.line = line.number();
        if self.ended {
            return self.add(Fault::Malformed);
        }
        let bytes = line.bytes().unwrap_or_default();
        if let Some(seen) = EntrySeen::scan(bytes, &mut self.scratch) {
            self.entries += 1;
            return self.entry(seen);
        }
        match serde_json::from_slice::<ProofLine<'_>>(bytes).ok() {
            Some(ProofLine::Adoption(adoption)) => self.adoption(&adoption),
            Some(ProofLine::Seal(seal)) => self.seal(*seal),
            Some(ProofLine::Entry(entry)) => {
                self.entries += 1;
                let exact = !entry.has_float() || numbers_are_exact(bytes);
                match entry.into_entry().filter(|_| exact) {
                    Some((record, stored)) => {
                        self.entry(EntrySeen::of(&record, stored, self.keys));
                    }
                    None => self.add(Fault::Malformed),
                }
            }
            Some(ProofLine::Damaged(damaged)) => self.damaged(&damaged),
            Some(ProofLine::Unsealed(unsealed)) => self.unsealed(unsealed),
            Some(ProofLine::Removal(removal)) => self.removal(&removal),
            Some(ProofLine::End(end)) => self.end(&end),
            Some(ProofLine::Header(_)) | None => self.add(Fault::Malformed),
        }
    }

    pub(super) fn finish(mut self) -> ProofReport {
        self.close();
        self.line += 1;
        if !self.ended {
            self.add(Fault::Truncated);
        }
        let last = self.next - 1;
        if self.newest > last {
            self.add(Fault::SealsMissing(self.next, self.newest));
        }
        self.anchored(last);
        let removed = Ranges::merged(std::mem::take(&mut self.removed));
        for stretch in std::mem::take(&mut self.missing) {
            self.explain(&stretch, &removed);
        }
        if let Some(line) = self.unfit.filter(|_| self.report.found == 0) {
            self.report.add(Fault::Truncated.at(line));
        }
        self.report
    }

    fn head(&mut self, head: &SealHead) {
        match head.is_signed(self.keys) {
            Some(true) if head.tenant == self.tenant => {}
            None => self.add(Fault::key_unknown(&head.key)),
            _ => self.add(Fault::HeadForged),
        }
    }

    /// Adoptions come before the seals: what they name has to be known then.
    fn adoption(&mut self, adoption: &Adoption) {
        if self.next > 1 || self.open.is_some() {
            return self.add(Fault::Malformed);
        }
        let added = self
            .adoptions
            .add(adoption, self.verifier, &mut self.report);
        if let Err(fault) = added {
            self.add(fault);
        }
    }

    /// What an anchor saw of this number, and no adoption says that is lost.
    fn known(&self, number: u64) -> Vec<&'a Known> {
        let is_there = |known: &&Known| !self.adoptions.has_lost(known);
        self.heads.of(number).filter(is_there).collect()
    }

    /// Compares the whole with what an anchor saw.
    fn anchored(&mut self, last: u64) {
        let mut ahead = None;
        for number in self.heads.numbers() {
            let known = self.known(number);
            if !known.is_empty() && number > last {
                ahead = ahead.max(Some(number));
            }
            for known in known.into_iter().skip(1) {
                let forked = Fault::AnchorForked.at(known.line);
                self.report.add(forked.seal(number));
            }
        }
        if let Some(number) = ahead {
            self.add(Fault::AnchorAhead(number));
        }
    }

    fn seal(&mut self, line: SealLine) {
        self.close();
        let batch = line.batch();
        let seal = line.seal;
        let number = seal.number;
        if seal.tenant != self.tenant {
            return self.add(Fault::SealForeign(seal.tenant));
        }
        let before = self.report.found;
        if number > self.next {
            self.add(Fault::SealsMissing(self.next, number - 1));
            self.linked = Linked::Not;
        } else if number < self.next {
            self.add_to_seal(number, Fault::SealMoved);
        }
        let head = seal.head();
        match head.is_signed(self.keys) {
            Some(true) => {}
            Some(false) => self.add_to_seal(number, Fault::SealChanged),
            None => self.add_to_seal(number, Fault::key_unknown(&seal.key)),
        }
        let known = self.known(number);
        if known.first().is_some_and(|known| !known.is(&head)) {
            self.add_to_seal(number, Fault::AnchorDiffers);
        }
        let batch = batch.filter(|batch| seal.holds(batch));
        if batch.is_none() {
            self.add_to_seal(number, Fault::SealChanged);
        }
        let sound = self.report.found == before;
        if sound && !self.follows(&seal, &head) {
            self.add_to_seal(number, Fault::SealUnlinked);
        }
        self.report.seals += 1;
        if number >= self.next {
            self.next = number.saturating_add(1);
            self.chain.previous = head.seal;
            let gap = self.report.found > before;
            self.linked = match self.linked {
                Linked::Whole if !gap => Linked::Whole,
                _ if head.is_signed(self.keys) == Some(true) => Linked::Hash,
                _ => Linked::Not,
            };
        }
        self.open = batch.map(|batch| Open::new(seal, batch));
    }

    /// Whether a seal goes on from the one before, as far as that one is known.
    fn follows(&mut self, seal: &crate::Seal, head: &SealHead) -> bool {
        match self.linked {
            Linked::Not => true,
            Linked::Hash => seal.previous == self.chain.previous,
            Linked::Whole => {
                let (previous, first) = (self.chain.previous, self.chain.entries.saturating_add(1));
                self.chain.follow(seal);
                seal.previous == previous
                    && seal.first == first
                    && self.chain.frontier.root() == head.log_root
            }
        }
    }

    fn entry(&mut self, seen: EntrySeen) {
        let (id, transaction) = (seen.id, seen.leaf.transaction);
        let Some(open) = &mut self.open else {
            return self.report.add(Fault::EntryAdded.at(self.line).entry(id));
        };
        match open.judge(seen) {
            Judged::Intact { erased } => {
                self.report.entries += 1;
                self.report.erased += u64::from(erased);
                self.horizon = self.horizon.max(transaction);
            }
            Judged::Faulty(place, fault) => {
                let finding = fault.at(self.line).entry(id);
                self.report.add(finding.in_seal(&open.seal, place));
            }
        }
    }

    fn damaged(&mut self, line: &Damaged) {
        self.entries += 1;
        let added = Fault::EntryAdded.at(self.line).entry(line.id);
        let finding = match &mut self.open {
            None => added,
            Some(open) => match open.judge_damaged(line) {
                Judged::Faulty(place, fault) => {
                    let finding = fault.at(self.line).entry(line.id);
                    finding.in_seal(&open.seal, place)
                }
                Judged::Intact { .. } => added,
            },
        };
        self.report.add(finding);
    }

    /// Above the horizon an entry waits for its seal.
    fn unsealed(&mut self, line: Unsealed) {
        self.close();
        if line.transaction < self.horizon {
            let finding = Fault::EntryUnsealed.at(self.line).entry(line.id);
            self.report.add(finding);
        }
    }

    fn removal(&mut self, removal: &Removal) {
        self.close();
        match removal.is_signed(self.tenant, self.keys) {
            Some(true) => {
                if self.removed.len() > MOST_STRETCHES {
                    self.removed = Ranges::merged(std::mem::take(&mut self.removed)).0;
                }
                self.removed.extend(self.adoptions.removed(removal));
            }
            None => self.add(Fault::key_unknown(&removal.key)),
            _ => self.add(Fault::RemovalForged),
        }
    }

    /// What the last line counts is a second look, for a file in which all else turns out to fit.
    fn end(&mut self, end: &End) {
        self.close();
        self.ended = true;
        let fits = (end.seals, end.entries) == (self.next - 1, self.entries);
        self.unfit = (!fits).then_some(self.line);
    }

    /// Looks for what did not come of the seal that was read.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let (mut stretches, line) = (Vec::<Missing>::new(), self.line);
        for (place, id) in open.missing() {
            let place = open.seal.first.saturating_add(place as u64);
            let name = (self.named < MOST_NAMES).then_some(id);
            self.named += usize::from(name.is_some());
            match stretches.last_mut() {
                Some(stretch) if stretch.last.checked_add(1) == Some(place) => {
                    stretch.last = place;
                    stretch.entries.extend(name);
                }
                _ => stretches.push(Missing {
                    first: place,
                    last: place,
                    seal: open.seal.number,
                    line,
                    entries: name.into_iter().collect(),
                }),
            }
        }
        if self.missing.len() + stretches.len() > MOST_STRETCHES {
            for stretch in &stretches {
                self.explain(stretch, &Ranges::default());
            }
        } else {
            self.missing.append(&mut stretches);
        }
    }

    /// Entries that are missing were removed, or are a finding.
    fn explain(&mut self, stretch: &Missing, removed: &Ranges) {
        let mut names = stretch.entries.iter().copied();
        for place in stretch.first..=stretch.last {
            let name = names.next();
            if removed.contains(place) {
                self.report.removed += 1;
                continue;
            }
            let mut finding = Fault::EntryMissing
                .at(stretch.line)
                .seal(stretch.seal)
                .place(place);
            if let Some(id) = name {
                finding = finding.entry(AuditEntryId::from_uuid(id));
            }
            self.report.add(finding);
        }
    }

    fn add(&mut self, fault: Fault) {
        let finding: Finding = fault.at(self.line);
        self.report.add(finding);
    }

    fn add_to_seal(&mut self, number: u64, fault: Fault) {
        self.report.add(fault.at(self.line).seal(number));
    }
}

fn no_proof() -> Error {
    Error::invalid(
        "audit_proof_format",
        format!("the file does not begin as a proof of the format `{FORMAT}`"),
    )
}
