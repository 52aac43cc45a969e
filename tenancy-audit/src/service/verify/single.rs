//! A file with one proof, and what was adopted since behind it.

use std::io::BufRead;

use super::{
    Verifier,
    adoptions::Adoptions,
    lines::Lines,
    report::{Fault, ProofReport},
};
use crate::{
    ConsistencyProof, Error, SealHead,
    model::{Adoption, InclusionDocument, ProofDocument, ProofLine, numbers_are_exact},
};

/// A proof that is being verified.
struct Single<'a> {
    verifier: &'a Verifier,
    /// They say what is lost, which an anchor knows, too.
    adoptions: Adoptions,
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
        adoptions: Adoptions::default(),
        report: ProofReport::new(verifier),
    };
    while let Some(line) = rest.next()? {
        let parsed = line
            .bytes()
            .and_then(|bytes| serde_json::from_slice::<ProofLine<'_>>(bytes).ok());
        if let Some(ProofLine::Adoption(adoption)) = parsed {
            single.adopted(&adoption, line.number());
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
    fn adopted(&mut self, adoption: &Adoption, line: u64) {
        let added = self
            .adoptions
            .add(adoption, self.verifier, &mut self.report);
        if let Err(fault) = added {
            self.report.add(fault.at(line));
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
        let mut known = self.verifier.heads.of(head.number);
        let known = known.find(|known| !self.adoptions.has_lost(known));
        if known.is_some_and(|known| !known.is(head)) {
            let differs = Fault::AnchorDiffers.at(1);
            self.report.add(differs.seal(head.number));
        }
    }
}
