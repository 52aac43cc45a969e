//! What an anchor kept.

use std::{collections::BTreeSet, io::BufRead};

use serde::de::IgnoredAny;
use tenancy_core::TenantId;

use super::{lines::Lines, report::MOST_FINDINGS};
use crate::{Error, SealHead, SealKeys, merkle::Hash};

/// How many heads are kept. Of more, an even share: each stands for all before it.
const MOST: usize = 1 << 21;

/// A head that an anchor kept, as far as a log is compared with it. Seals are linked, so that one hash stands for all
/// before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) seal: Hash,
    /// The line of the anchor's file.
    pub(super) line: u64,
    /// Which of all that were read.
    turn: u64,
}

/// What an anchor kept of one tenant's log.
///
/// Which heads are kept of very many is decided by what they are, and not by where they stand: neither lines that come
/// again nor a lost history that had come further push out what was anchored since.
#[derive(Clone)]
pub(super) struct Heads {
    of: TenantId,
    /// By number, and of one number in the order of the file; each once, when a file was read.
    kept: Vec<Known>,
    /// The last one of each file, once, whatever the share is.
    last: Vec<Known>,
    turns: u64,
    /// One of two to the power of this is kept.
    share: u32,
    most: usize,
    /// Lines that are no head which one of the keys signed; the first of them.
    pub(super) forged: Vec<u64>,
    /// How many lines were torn while they were written.
    pub(super) torn: u64,
}

impl Known {
    /// Whether both stand for the same seal.
    pub(super) fn is(&self, head: &SealHead) -> bool {
        (self.number, self.seal) == (head.number, head.seal)
    }

    fn is_as(&self, other: &Self) -> bool {
        (self.number, self.seal) == (other.number, other.seal)
    }

    /// Whether it is among an even share of all: hashes are evenly spread, and nobody chooses them.
    fn is_in(&self, share: u32) -> bool {
        let (first, _) = self.seal.split_first_chunk().unwrap_or((&[0; 8], &[]));
        u64::from_be_bytes(*first).trailing_zeros() >= share
    }
}

impl Heads {
    /// Keeps the heads of this tenant, and looks at no signature of others.
    pub(super) fn new(of: TenantId) -> Self {
        Self {
            of,
            kept: Vec::new(),
            last: Vec::new(),
            turns: 0,
            share: 0,
            most: MOST,
            forged: Vec::new(),
            torn: 0,
        }
    }

    /// Adds one head a line.
    pub(super) fn read(&mut self, file: impl BufRead, keys: &SealKeys) -> Result<(), Error> {
        let (mut lines, mut last) = (Lines::new(file), None);
        while let Some(line) = lines.next()? {
            let number = line.number();
            match line.bytes() {
                // What begins a line where nobody can see whether the one before is whole.
                Some([]) => {}
                Some(bytes) => last = self.line(number, bytes, keys).or(last),
                None => self.torn += 1,
            }
        }
        let is_new = |last: &Known| !self.last.iter().any(|known| known.is_as(last));
        self.last.extend(last.filter(is_new));
        self.tidy();
        Ok(())
    }

    /// The head that this line is.
    fn line(&mut self, number: u64, bytes: &[u8], keys: &SealKeys) -> Option<Known> {
        let Ok(head) = serde_json::from_slice::<SealHead>(bytes) else {
            if is_torn(bytes) {
                self.torn += 1;
            } else {
                self.forged(number);
            }
            return None;
        };
        if self.of != head.tenant {
            return None;
        }
        if head.is_signed(keys) == Some(true) {
            Some(self.keep(&head, number))
        } else {
            self.forged(number);
            None
        }
    }

    fn forged(&mut self, line: u64) {
        if self.forged.len() < MOST_FINDINGS {
            self.forged.push(line);
        }
    }

    fn keep(&mut self, head: &SealHead, line: u64) -> Known {
        self.turns += 1;
        let known = Known {
            number: head.number,
            seal: head.seal,
            line,
            turn: self.turns,
        };
        if known.is_in(self.share) {
            self.kept.push(known);
        }
        if self.kept.len() >= 2 * self.most {
            self.tidy();
        }
        known
    }

    /// Each once, where it was named first, in the order in which they are looked for; of too many, a share: how large
    /// that is depends on which heads there are, and not on their order or on how often they are named.
    fn tidy(&mut self) {
        self.kept
            .sort_unstable_by_key(|known| (known.number, known.seal, known.turn));
        self.kept.dedup_by(|again, first| again.is_as(first));
        while self.kept.len() > self.most {
            self.share += 1;
            self.kept.retain(|known| known.is_in(self.share));
        }
        self.kept
            .sort_unstable_by_key(|known| (known.number, known.turn));
    }

    /// The numbers of which there are heads, each once.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        let kept = self.kept.chunk_by(|a, b| a.number == b.number);
        let kept = kept.filter_map(|of_one| Some(of_one.first()?.number));
        let others = self.last.iter().map(|known| known.number);
        let others: BTreeSet<u64> = others
            .filter(|number| self.in_share(*number).next().is_none())
            .collect();
        kept.chain(others)
    }

    /// The heads of a number in the order of the file: more than one, if history was written anew.
    pub(super) fn of(&self, number: u64) -> impl Iterator<Item = &Known> {
        let other = move |known: &&Known| known.number == number && !known.is_in(self.share);
        self.in_share(number).chain(self.last.iter().filter(other))
    }

    fn in_share(&self, number: u64) -> impl Iterator<Item = &Known> {
        let begin = self.kept.partition_point(|known| known.number < number);
        let kept = self.kept.get(begin..).unwrap_or_default().iter();
        kept.take_while(move |known| known.number == number)
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
        lines_of(signer, tenant, seals, DateTime::UNIX_EPOCH)
    }

    /// The same of a history that began then.
    fn lines_of(
        signer: &Ed25519Signer,
        tenant: TenantId,
        seals: usize,
        at: DateTime<Utc>,
    ) -> Vec<String> {
        let mut chain = Chain::default();
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
        heads.kept.iter().map(|known| known.number).collect()
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
    fn each_is_kept_once_in_the_order_in_which_it_is_looked_for() {
        let (signer, tenant) = (signer(), TenantId::new());
        let (mut file, anew) = (
            lines(&signer, tenant, 4),
            lines_of(&signer, tenant, 3, Utc::now()),
        );
        file.extend(anew);
        file.extend(file.clone());
        let heads = read(Heads::new(tenant), &signer, &file);
        assert_eq!(kept(&heads), [1, 1, 2, 2, 3, 3, 4]);
        let lines = |number| heads.of(number).map(|known| known.line).collect::<Vec<_>>();
        assert_eq!(
            (lines(2), lines(4), lines(5)),
            (vec![2, 6], vec![4], vec![])
        );
        assert_eq!(heads.numbers().collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(size_of::<Known>(), 56);
    }

    #[test]
    fn of_very_many_an_even_share_is_kept_that_no_line_changes_and_the_last() {
        let (signer, tenant) = (signer(), TenantId::new());
        let mut few = Heads::new(tenant);
        few.most = 64;
        let anew = |seals| lines_of(&signer, tenant, seals, Utc::now());
        let (far, near) = (lines(&signer, tenant, 400), anew(200));
        let history = [&far[..], &near[1..]].concat();
        let heads = read(few.clone(), &signer, &history);
        assert!(heads.kept.len() <= 64 && heads.share > 2);
        assert!(
            heads.kept.iter().all(|known| known.is_in(heads.share)),
            "of all the same share"
        );
        let lines = |heads: &Heads| -> Vec<u64> { heads.of(200).map(|known| known.line).collect() };
        assert_eq!(lines(&heads).last(), Some(&599), "the last");
        let mut numbers: Vec<u64> = heads.numbers().collect();
        assert!(numbers.contains(&200));
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
        // Whoever says all of it again, in whatever order, changes nothing, and makes no fork.
        let mut again = heads.clone();
        let mut back = history.clone();
        back.reverse();
        back.push(history[598].clone());
        for file in [&history, &back, &far, &history] {
            again = read(again, &signer, file);
            assert_eq!((again.share, &again.kept), (heads.share, &heads.kept));
            assert_eq!(lines(&again), lines(&heads));
        }
        // Nor do a few that all can be kept, however often they come.
        let mut few = read(few, &signer, &near[..60]);
        for _ in 0..5 {
            few = read(few, &signer, &near[..60]);
        }
        assert_eq!((few.share, few.kept.len()), (0, 60));
    }

    #[test]
    fn a_line_that_was_torn_is_told_from_one_that_was_put_there() {
        let (signer, tenant) = (signer(), TenantId::new());
        let whole = lines(&signer, tenant, 3);
        for cut in 1..whole[1].len() - 1 {
            let torn = format!("{}\n", &whole[1][..cut]);
            let file = [whole[0].clone(), torn, String::from("\n"), whole[2].clone()];
            let heads = read(Heads::new(tenant), &signer, &file);
            let told = (heads.torn, heads.kept.len(), heads.forged.len());
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
