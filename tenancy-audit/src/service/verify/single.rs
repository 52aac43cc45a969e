//! A file with one proof.

use super::{
    Verifier, is_same,
    report::{Fault, ProofReport},
};
use crate::{
    ConsistencyProof, SealHead,
    model::{InclusionDocument, ProofDocument, numbers_are_exact},
};

/// What a single proof turned out to be; `None` if the line is none.
pub(super) fn verify(verifier: &Verifier, line: &[u8]) -> Option<ProofReport> {
    let document = serde_json::from_slice::<ProofDocument<'_>>(line).ok()?;
    let mut report = ProofReport::new(verifier.tenant);
    match document {
        ProofDocument::Inclusion(inclusion) => {
            let exact = !inclusion.entry.has_float() || numbers_are_exact(line);
            included(verifier, *inclusion, exact, &mut report);
        }
        ProofDocument::Consistency(proof) => consistent(verifier, &proof, &mut report),
    }
    Some(report)
}

fn included(
    verifier: &Verifier,
    InclusionDocument { entry, proof }: InclusionDocument<'_>,
    exact: bool,
    report: &mut ProofReport,
) {
    let Some((record, stored)) = entry.into_entry().filter(|_| exact) else {
        return report.add(Fault::Malformed.at(1));
    };
    if proof.seal.tenant != verifier.tenant {
        report.add(Fault::LogForeign(proof.seal.tenant).at(1));
    }
    let times = (stored.created_at.timestamp_micros(), stored.transaction);
    let holds = proof.verify(&record, &verifier.keys)
        && record.verify_with(&verifier.keys).is_intact()
        && times == (proof.created_at, proof.transaction);
    if !holds {
        let finding = Fault::ProofBroken.at(1).seal(proof.seal.number);
        report.add(finding.entry(record.id));
    }
    anchored(verifier, &proof.seal.head(), report);
    if report.found == 0 {
        (report.seals, report.entries) = (1, 1);
    }
}

fn consistent(verifier: &Verifier, proof: &ConsistencyProof, report: &mut ProofReport) {
    if proof.to.tenant != verifier.tenant {
        report.add(Fault::LogForeign(proof.to.tenant).at(1));
    }
    if !proof.verify(&verifier.keys) {
        report.add(Fault::ProofBroken.at(1).seal(proof.to.number));
    }
    for head in [&proof.from, &proof.to] {
        anchored(verifier, head, report);
    }
    if report.found == 0 {
        report.seals = proof.to.number;
    }
}

/// Whether an anchor saw the same.
fn anchored(verifier: &Verifier, head: &SealHead, report: &mut ProofReport) {
    let heads = verifier.heads.get(&verifier.tenant);
    let kept = heads.and_then(|heads| heads.get(&head.number));
    if kept
        .and_then(|kept| kept.first())
        .is_some_and(|(_, known)| !is_same(known, head))
    {
        report.add(Fault::AnchorDiffers.at(1).seal(head.number));
    }
}
