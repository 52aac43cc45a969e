//! What an anchor kept.

use std::{collections::BTreeMap, io::BufRead};

use serde::de::IgnoredAny;
use tenancy_core::TenantId;

use super::{lines::Lines, report::MOST_FINDINGS};
use crate::{Error, SealHead, SealKeys, merkle::Hash};

/// The head of a number so far before the newest one is not kept. Each stands for all before it.
pub(in crate::service) const MOST_NUMBERS: u64 = 100_000;

/// The most different heads of one number that are kept: the first.
const MOST_FORKS: usize = 16;

/// A head that an anchor kept, as far as a log is compared with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Known {
    /// The line of the anchor's file.
    pub(super) line: u64,
    pub(super) seal: Hash,
    log_root: Hash,
}

/// The heads of each number: more than one, if history was written anew.
pub(super) type Numbers = BTreeMap<u64, Vec<Known>>;

/// What an anchor kept of one tenant's log.
#[derive(Clone)]
pub(super) struct Heads {
    of: TenantId,
    pub(super) numbers: Numbers,
    /// Of how many numbers.
    most: u64,
    /// Lines that are no head which one of the keys signed; the first of them.
    pub(super) forged: Vec<u64>,
    /// How many lines were torn while they were written.
    pub(super) torn: u64,
}

impl Known {
    fn of(head: &SealHead, line: u64) -> Self {
        Self {
            line,
            seal: head.seal,
            log_root: head.log_root,
        }
    }

    /// Whether both stand for the same seal after the same history.
    pub(super) fn is(&self, head: &SealHead) -> bool {
        (self.seal, self.log_root) == (head.seal, head.log_root)
    }
}

impl Heads {
    /// Keeps the heads of this tenant, and looks at no signature of others.
    pub(super) fn new(of: TenantId) -> Self {
        Self {
            of,
            numbers: BTreeMap::new(),
            most: MOST_NUMBERS,
            forged: Vec::new(),
            torn: 0,
        }
    }

    /// Adds one head a line.
    pub(super) fn read(&mut self, file: impl BufRead, keys: &SealKeys) -> Result<(), Error> {
        let mut lines = Lines::new(file);
        while let Some(line) = lines.next()? {
            let number = line.number();
            match line.bytes() {
                // What begins a line where nobody can see whether the one before is whole.
                Some([]) => {}
                Some(bytes) => self.line(number, bytes, keys),
                None => self.torn += 1,
            }
        }
        Ok(())
    }

    fn line(&mut self, number: u64, bytes: &[u8], keys: &SealKeys) {
        let Ok(head) = serde_json::from_slice::<SealHead>(bytes) else {
            if is_torn(bytes) {
                self.torn += 1;
            } else {
                self.forged(number);
            }
            return;
        };
        if self.of != head.tenant {
            return;
        }
        if head.is_signed(keys) == Some(true) {
            self.keep(&head, number);
        } else {
            self.forged(number);
        }
    }

    fn forged(&mut self, line: u64) {
        if self.forged.len() < MOST_FINDINGS {
            self.forged.push(line);
        }
    }

    fn keep(&mut self, head: &SealHead, line: u64) {
        let known = self
            .numbers
            .entry(head.number)
            .or_insert_with(|| Vec::with_capacity(1));
        if known.len() < MOST_FORKS && !known.iter().any(|known| known.is(head)) {
            known.push(Known::of(head, line));
        }
        let newest = self.numbers.keys().next_back().copied().unwrap_or_default();
        while let Some(oldest) = self.numbers.first_entry()
            && newest - oldest.key() >= self.most
        {
            oldest.remove();
        }
    }
}

/// Of a line that is no head, whether it was torn while it was written: half of a head is no JSON, and what is some was
/// put there.
pub(in crate::service) fn is_torn(line: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(line).is_err()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        Ed25519Signer, SealSigner as _,
        model::{Batch, Chain},
    };

    fn signer() -> Ed25519Signer {
        Ed25519Signer::parse(Ed25519Signer::generate("one").unwrap().expose()).unwrap()
    }

    /// The heads of so many seals of a tenant, a line each.
    fn lines(signer: &Ed25519Signer, tenant: TenantId, seals: usize) -> Vec<String> {
        let (mut chain, at) = (Chain::default(), DateTime::<Utc>::UNIX_EPOCH);
        let head = |_| {
            let (mut seal, bytes) = chain.next(tenant, &Batch::default(), at, "one");
            seal.signature = signer.sign(&bytes).now_or_never().unwrap().unwrap();
            serde_json::to_string(&seal.head()).unwrap() + "\n"
        };
        (0..seals).map(head).collect()
    }

    fn read(mut heads: Heads, signer: &Ed25519Signer, file: &[String]) -> Heads {
        let keys = SealKeys::new([signer.public_key()]);
        heads.read(file.concat().as_bytes(), &keys).unwrap();
        heads
    }

    fn kept(heads: &Heads) -> Vec<u64> {
        heads.numbers.keys().copied().collect()
    }

    #[test]
    fn what_is_kept_for_a_verifier_is_of_one_tenant() {
        let (signer, other) = (signer(), signer());
        let (ours, theirs) = (TenantId::new(), TenantId::new());
        let mut file = lines(&signer, ours, 3);
        file.extend(lines(&signer, theirs, 50));
        // What is said of others is judged where others are verified.
        file.extend(lines(&other, theirs, 50));
        let heads = read(Heads::new(ours), &signer, &file);
        assert_eq!(kept(&heads), [1, 2, 3]);
        assert!(heads.forged.is_empty());
        file.extend(lines(&other, ours, 1));
        let heads = read(Heads::new(ours), &signer, &file);
        assert_eq!(heads.forged, [104]);
    }

    #[test]
    fn of_a_tenant_the_newest_are_kept() {
        let (signer, tenant) = (signer(), TenantId::new());
        let mut heads = Heads::new(tenant);
        heads.most = 4;
        let mut file = lines(&signer, tenant, 9);
        for _ in 0..2 {
            let heads = read(heads.clone(), &signer, &file);
            assert_eq!(kept(&heads), [6, 7, 8, 9]);
            file.reverse();
        }
    }

    #[test]
    fn a_line_that_was_torn_is_told_from_one_that_was_put_there() {
        let (signer, tenant) = (signer(), TenantId::new());
        let whole = lines(&signer, tenant, 3);
        for cut in 1..whole[1].len() - 1 {
            let torn = format!("{}\n", &whole[1][..cut]);
            let file = [whole[0].clone(), torn, String::from("\n"), whole[2].clone()];
            let heads = read(Heads::new(tenant), &signer, &file);
            let told = (heads.torn, heads.numbers.len(), heads.forged.len());
            assert_eq!(told, (1, 2, 0), "{cut}");
        }
        let zeros = "\0".repeat(100) + "\n";
        let heads = read(Heads::new(tenant), &signer, &[zeros]);
        assert_eq!((heads.torn, heads.forged.len()), (1, 0));
        for forged in ["{}", "[1]", "7", "null"] {
            let heads = read(Heads::new(tenant), &signer, &[forged.to_owned()]);
            assert_eq!((heads.torn, &heads.forged[..]), (0, &[1][..]), "{forged}");
        }
        let forged = whole[1].replace(r#""number":2"#, r#""number":3"#);
        let heads = read(Heads::new(tenant), &signer, &[forged]);
        assert_eq!((heads.torn, &heads.forged[..]), (0, &[1][..]));
    }
}
