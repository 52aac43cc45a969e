//! What an anchor kept.

use std::{collections::BTreeMap, io::BufRead};

use serde::de::IgnoredAny;
use tenancy_core::TenantId;

use super::{lines::Lines, report::MOST_FINDINGS};
use crate::{Error, SealHead, SealKeys, merkle::Hash};

/// Of how many numbers of a tenant heads are kept: of more, of the newest. Each stands for all before it.
const MOST_NUMBERS: usize = 100_000;

/// The most different heads of one number that are kept: the first.
const MOST_FORKS: usize = 16;

/// The most heads that are kept of all tenants together, where each has one.
const MOST_IN_ALL: usize = 1_000_000;

/// A head that an anchor kept, as far as a log is compared with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::service) struct Known {
    /// The line of the anchor's file.
    pub(in crate::service) line: u64,
    pub(in crate::service) seal: Hash,
    log_root: Hash,
}

/// The heads of each number: more than one, if history was written anew.
pub(super) type Numbers = BTreeMap<u64, Vec<Known>>;

/// What an anchor kept of one tenant's log, or of all.
#[derive(Clone)]
pub(in crate::service) struct Heads {
    of: Option<TenantId>,
    numbers: BTreeMap<TenantId, Numbers>,
    bounds: Bounds,
    kept: usize,
    /// Lines that are no head which one of the keys signed; the first of them.
    pub(super) forged: Vec<u64>,
    /// How many lines were torn while they were written.
    pub(super) torn: u64,
}

/// How much is kept.
#[derive(Clone, Copy)]
struct Bounds {
    /// Of a tenant; less when it becomes too much in all.
    numbers: usize,
    in_all: usize,
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
    /// Keeps the heads of this tenant, and looks at no signature of others; or of all tenants.
    pub(in crate::service) fn new(of: Option<TenantId>) -> Self {
        Self {
            of,
            numbers: BTreeMap::new(),
            bounds: Bounds {
                numbers: MOST_NUMBERS,
                in_all: MOST_IN_ALL,
            },
            kept: 0,
            forged: Vec::new(),
            torn: 0,
        }
    }

    /// Adds one head a line.
    pub(in crate::service) fn read(
        &mut self,
        file: impl BufRead,
        keys: &SealKeys,
    ) -> Result<(), Error> {
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
            // Half of a head is no JSON; what is some and no head was put there.
            match serde_json::from_slice::<IgnoredAny>(bytes) {
                Ok(_) => self.forged(number),
                Err(_) => self.torn += 1,
            }
            return;
        };
        if self.of.is_some_and(|tenant| tenant != head.tenant) {
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
        let of = self.numbers.entry(head.tenant).or_default();
        let known = of
            .entry(head.number)
            .or_insert_with(|| Vec::with_capacity(1));
        if known.len() < MOST_FORKS && !known.iter().any(|known| known.is(head)) {
            known.push(Known::of(head, line));
            self.kept += 1;
        }
        self.kept -= trim(of, self.bounds.numbers);
        while self.kept > self.bounds.in_all && self.bounds.numbers > 1 {
            self.bounds.numbers /= 2;
            for of in self.numbers.values_mut() {
                self.kept -= trim(of, self.bounds.numbers);
            }
        }
    }

    /// Whose logs it saw.
    pub(in crate::service) fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.numbers.keys().copied()
    }

    /// What it saw of a tenant's log.
    pub(super) fn numbers(&self, tenant: TenantId) -> Option<&Numbers> {
        self.numbers.get(&tenant)
    }

    /// The same, one by one.
    pub(in crate::service) fn known(&self, tenant: TenantId) -> impl Iterator<Item = (u64, Known)> {
        let numbers = self.numbers(tenant).into_iter().flatten();
        numbers.flat_map(|(number, known)| known.iter().map(|known| (*number, *known)))
    }
}

/// Leaves the newest numbers; how many heads went.
fn trim(of: &mut Numbers, most: usize) -> usize {
    let mut gone = 0;
    while of.len() > most {
        gone += of.pop_first().map_or(0, |(_, known)| known.len());
    }
    gone
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

    #[test]
    fn what_is_kept_for_a_verifier_is_of_one_tenant() {
        let (signer, other) = (signer(), signer());
        let (ours, theirs) = (TenantId::new(), TenantId::new());
        let mut file = lines(&signer, ours, 3);
        file.extend(lines(&signer, theirs, 50));
        // What is said of others is judged where others are verified.
        file.extend(lines(&other, theirs, 50));
        let heads = read(Heads::new(Some(ours)), &signer, &file);
        assert_eq!((heads.kept, heads.numbers.len()), (3, 1));
        assert!(heads.forged.is_empty());
        file.extend(lines(&other, ours, 1));
        let heads = read(Heads::new(Some(ours)), &signer, &file);
        assert_eq!(heads.forged, [104]);
    }

    #[test]
    fn of_a_tenant_the_newest_are_kept() {
        let (signer, tenant) = (signer(), TenantId::new());
        let mut heads = Heads::new(Some(tenant));
        heads.bounds.numbers = 4;
        let heads = read(heads, &signer, &lines(&signer, tenant, 9));
        let numbers: Vec<u64> = heads.known(tenant).map(|(number, _)| number).collect();
        assert_eq!((heads.kept, numbers), (4, vec![6, 7, 8, 9]));
    }

    #[test]
    fn of_all_tenants_together_no_more_is_kept_than_a_bound_and_each_ones_newest() {
        let signer = signer();
        let tenants: Vec<TenantId> = (0..10).map(|_| TenantId::new()).collect();
        let mut heads = Heads::new(None);
        heads.bounds.in_all = 25;
        let file: Vec<String> = tenants
            .iter()
            .flat_map(|tenant| lines(&signer, *tenant, 20))
            .collect();
        let heads = read(heads, &signer, &file);
        assert!((10..=25).contains(&heads.kept), "{}", heads.kept);
        for tenant in tenants {
            assert_eq!(heads.known(tenant).last().unwrap().0, 20);
        }
    }

    #[test]
    fn a_line_that_was_torn_is_told_from_one_that_was_put_there() {
        let (signer, tenant) = (signer(), TenantId::new());
        let whole = lines(&signer, tenant, 3);
        for cut in 1..whole[1].len() - 1 {
            let torn = format!("{}\n", &whole[1][..cut]);
            let file = [whole[0].clone(), torn, String::from("\n"), whole[2].clone()];
            let heads = read(Heads::new(Some(tenant)), &signer, &file);
            let told = (heads.torn, heads.kept, heads.forged.len());
            assert_eq!(told, (1, 2, 0), "{cut}");
        }
        let zeros = "\0".repeat(100) + "\n";
        let heads = read(Heads::new(Some(tenant)), &signer, &[zeros]);
        assert_eq!((heads.torn, heads.forged.len()), (1, 0));
        for forged in ["{}", "[1]", "7", "null"] {
            let heads = read(Heads::new(Some(tenant)), &signer, &[forged.to_owned()]);
            assert_eq!((heads.torn, &heads.forged[..]), (0, &[1][..]), "{forged}");
        }
        let forged = whole[1].replace(r#""number":2"#, r#""number":3"#);
        let heads = read(Heads::new(Some(tenant)), &signer, &[forged]);
        assert_eq!((heads.torn, &heads.forged[..]), (0, &[1][..]));
    }
}
