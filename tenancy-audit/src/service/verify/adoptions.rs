//! What the adoptions of a log say, each of which has to be signed.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    Verifier,
    heads::Known,
    report::{Fault, ProofReport},
};
use crate::model::{Adoption, Ends, LostSeal, Removal};

#[derive(Default)]
pub(super) struct Adoptions {
    seen: BTreeSet<Uuid>,
    lost: BTreeSet<LostSeal>,
    ends: Ends,
}

impl Adoptions {
    /// Adds one, once, and tells of it in the report; otherwise what is wrong with it.
    pub(super) fn add(
        &mut self,
        adoption: &Adoption,
        verifier: &Verifier,
        report: &mut ProofReport,
    ) -> Result<(), Fault> {
        match adoption.is_signed(verifier.tenant, &verifier.keys) {
            Some(true) if self.seen.insert(adoption.id) => {
                // What no head says needs no excuse, and may be much.
                let known = |lost: &&LostSeal| verifier.heads.of(lost.number).next().is_some();
                self.lost.extend(adoption.lost.iter().filter(known));
                self.ends.add(adoption);
                report.adopted(adoption);
                Ok(())
            }
            Some(true) => Ok(()),
            Some(false) => Err(Fault::AdoptionForged),
            None => Err(Fault::key_unknown(&adoption.key)),
        }
    }

    /// Whether one says that what an anchor knew is lost.
    pub(super) fn has_lost(&self, known: &Known) -> bool {
        self.lost.contains(&LostSeal::new(known.number, known.seal))
    }

    /// Of what a removal names, what was removed of this log.
    pub(super) fn removed(&self, removal: &Removal) -> impl Iterator<Item = (u64, u64)> {
        self.ends.removed(removal)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use futures_util::FutureExt as _;
    use tenancy_core::TenantId;

    use super::*;
    use crate::{Ed25519Signer, SealKeys, SealSigner as _};

    #[test]
    fn what_no_head_says_is_counted_and_not_kept() {
        let signer = Ed25519Signer::generate("one").unwrap();
        let signer = Ed25519Signer::parse(signer.expose()).unwrap();
        let verifier = Verifier::new(TenantId::new(), SealKeys::new([signer.public_key()]));
        let lost = [1, 2].map(|number| LostSeal::new(number, [0; 32]));
        let told = ("restored", Utc::now());
        let (mut adoption, bytes) =
            Adoption::new(verifier.tenant, (0, 0, 0), lost.to_vec(), told, "one");
        adoption.signature = signer.sign(&bytes).now_or_never().unwrap().unwrap();
        let (mut adoptions, mut report) = (Adoptions::default(), ProofReport::new(&verifier));
        for _ in 0..2 {
            assert_eq!(adoptions.add(&adoption, &verifier, &mut report), Ok(()));
        }
        assert_eq!((adoptions.lost.len(), report.adoptions[0].lost), (0, 2));
    }
}
