//! A file with one proof, and what was adopted since behind it.

use std::{collections::BTreeSet, io::BufRead};

use super::{
    Verifier,
    heads::Known,
    lines::Lines,
    report::{Fault, ProofReport},
};
use crate::{
    Adoption, ConsistencyProof, Error, LostSeal, SealHead,
    model::{InclusionDocument, ProofDocument, ProofLine, numbers_are_exact},
};

/// A proof that is being verified.
struct Single<'a> {
    verifier: &'a Verifier,
    /// What an adoption says that is lost: an anchor knows that, too.
    lost: BTreeSet<LostSeal>,
    report: ProofReport,
}

/// What a single proof turned out to be; `None` if the line is none, and then nothing else was read.
pub(super) fn verify(
    verifier: &Verifier,
    line: &[u8],
    rest: &mut Lines<impl BufRead>,
) -> Result<Option<ProofReport>, Error> {
    let Ok(document) = serde_json::from_slice::<ProofDocument<'_>>(line) else {
        return Ok(None);
    };
    let mut single = Single {
        verifier,
        lost: BTreeSet::new(),
        report: ProofReport::new(verifier),
    };
    while let Some(line) = rest.next()? {
        let parsed = line
            .bytes()
            .and_then(|bytes| serde_json::from_slice::<ProofLine<'_>>(bytes).ok());
        if let Some(ProofLine::Adoption(adoption)) = parsed {
            single.adopted(adoption, line.number());
        }
    }
    match document {
        ProofDocument::Inclusion(inclusion) => {
            let exact = !inclusion.entry.has_float() || numbers_are_exact(line);
            single.included(*inclusion, exact);
        }
        ProofDocument::Consistency(proof) => single.consistent(&proof),
    }
    Ok(Some(single.report))
}

impl Single<'_> {
    fn adopted(&mut self, adoption: Adoption, line: u64) {
        match adoption.is_signed(self.verifier.tenant, &self.verifier.keys) {
            Some(true) => {
                self.lost.extend(&adoption.lost);
                self.report.adopted(adoption);
            }
            None => self.report.add(Fault::key_unknown(&adoption.key).at(line)),
            _ => self.report.add(Fault::AdoptionForged.at(line)),
        }
    }

    fn included(&mut self, InclusionDocument { entry, proof }: InclusionDocument<'_>, exact: bool) {
        let (verifier, report) = (self.verifier, &mut self.report);
        let Some((record, stored)) = entry.into_entry().filter(|_| exact) else {
            return report.add(Fault::Malformed.at(1));
        };
        if proof.seal.tenant != verifier.tenant {
            report.add(Fault::LogForeign(proof.seal.tenant).at(1));
        }
        let times = (stored.created_at, stored.transaction);
        let holds = proof.verify(&record, &verifier.keys)
            && record.verify_stored(Some(&verifier.keys)).is_intact()
            && times == (proof.created_at, proof.transaction);
        if !holds {
            let finding = Fault::ProofBroken.at(1).seal(proof.seal.number);
            report.add(finding.entry(record.id));
        }
        self.anchored(&proof.seal.head());
        if self.report.found == 0 {
            (self.report.seals, self.report.entries) = (1, 1);
        }
    }

    fn consistent(&mut self, proof: &ConsistencyProof) {
        if proof.to.tenant != self.verifier.tenant {
            let foreign = Fault::LogForeign(proof.to.tenant);
            self.report.add(foreign.at(1));
        }
        if !proof.verify(&self.verifier.keys) {
            let broken = Fault::ProofBroken.at(1);
            self.report.add(broken.seal(proof.to.number));
        }
        for head in [&proof.from, &proof.to] {
            self.anchored(head);
        }
        if self.report.found == 0 {
            self.report.seals = proof.to.number;
        }
    }

    /// Whether an anchor saw the same, but for what is lost.
    fn anchored(&mut self, head: &SealHead) {
        let kept = self.verifier.heads.numbers.get(&head.number);
        let is_lost = |known: &Known| {
            let seal = LostSeal::new(head.number, known.seal);
            self.lost.contains(&seal)
        };
        let mut known = kept.into_iter().flatten();
        let known = known.find(|known| !is_lost(known));
        if known.is_some_and(|known| !known.is(head)) {
            let differs = Fault::AnchorDiffers.at(1);
            self.report.add(differs.seal(head.number));
        }
    }
}
