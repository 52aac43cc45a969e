//! A small log that is made in memory, under a key that everybody knows.

use std::sync::LazyLock;

use chrono::{DateTime, SubsecRound as _, Utc};
use futures_util::FutureExt as _;
use tenancy_core::{Event, Principal, TenantId, UserId, testing::imagined};
use uuid::Uuid;

use super::prepared;
use crate::{
    ConsistencyProof, Ed25519Signer, Entry, InclusionProof, Limits, Seal, SealHead, SealKeys,
    SealSignature, SealSigner as _,
    merkle::{consistency_path, inclusion_path, leaf_hash},
    model::{
        Adoption, Batch, Chain, Ends, Leaf, LostSeal, ProofLine, Ranges, Removal, SealedAs,
        consistency_line, inclusion_line,
    },
};

/// The key: a name, and 32 bytes that are nobody's secret.
const KEY: &str = "fuzz:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

const TENANT: Uuid = Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0007);

/// A log with what a file of one can have: entries in seals, one of them removed, and a seal that a restore lost.
#[derive(Debug)]
#[non_exhaustive]
pub struct Made {
    /// Whose it is.
    pub tenant: TenantId,
    /// What verifies it.
    pub keys: SealKeys,
    /// The same as text.
    pub key: String,
    /// The whole log.
    pub file: String,
    /// What an anchor kept.
    pub heads: String,
    /// The proof of one entry.
    pub inclusion: String,
    /// The proof of two states.
    pub consistency: String,
}

/// The log, with new ids and times in each process; `None` if it can't be made.
pub fn made() -> Option<&'static Made> {
    static MADE: LazyLock<Option<Made>> = LazyLock::new(|| Making::begin()?.make());
    MADE.as_ref()
}

/// A seal, what it was made of, and its entries.
type Sealed = (Seal, Batch, Vec<(Entry, SealedAs)>);

struct Making {
    signer: Ed25519Signer,
    tenant: TenantId,
    at: DateTime<Utc>,
    chain: Chain,
    seals: Vec<Sealed>,
}

impl Making {
    fn begin() -> Option<Self> {
        Some(Self {
            signer: Ed25519Signer::parse(KEY).ok()?,
            tenant: TenantId::from_uuid(TENANT),
            at: Utc::now().trunc_subsecs(6),
            chain: Chain::default(),
            seals: Vec::new(),
        })
    }

    fn sign(&self, bytes: &[u8]) -> Option<SealSignature> {
        self.signer.sign(bytes).now_or_never()?.ok()
    }

    /// A seal over this many entries.
    fn seal(&mut self, count: u64) -> Option<()> {
        let ctx = imagined(self.tenant, Principal::user(UserId::new()));
        let before = self.chain.entries;
        let entry = |at: u64| {
            let event = Event::new("thing.made").target("thing", at);
            let event = event.meta("n", 1.5).personal("email", "ann@example.com");
            let record = prepared(&Limits::default(), &ctx, event).ok()?;
            let stored = SealedAs {
                created_at: self.at,
                transaction: 700 + at,
            };
            Some((Entry::new(record, self.at), stored))
        };
        let entries = (before + 1..=before + count).map(entry);
        let entries: Vec<(Entry, SealedAs)> = entries.collect::<Option<_>>()?;
        let leaves = entries
            .iter()
            .map(|(entry, stored)| Leaf::of(entry, *stored));
        let batch = Batch::of(self.tenant, &leaves.collect::<Vec<_>>());
        let key = self.signer.key_name();
        let (mut seal, bytes) = self.chain.next(self.tenant, &batch, self.at, &key);
        seal.signature = self.sign(&bytes)?;
        self.seals.push((seal, batch, entries));
        Some(())
    }

    fn make(mut self) -> Option<Made> {
        for count in [3, 1, 2] {
            self.seal(count)?;
        }
        let heads = self.seals.iter().map(|(seal, ..)| seal.head());
        let (lost, mut kept) = (self.lost()?, String::new());
        for head in heads.chain([lost.clone()]) {
            kept.push_str(&serde_json::to_string(&head).ok()?);
            kept.push('\n');
        }
        Some(Made {
            tenant: self.tenant,
            keys: SealKeys::new([self.signer.public_key()]),
            key: self.signer.public_key().to_text(),
            file: self.file(&lost)?,
            heads: kept,
            inclusion: self.inclusion()?,
            consistency: self.consistency()?,
        })
    }

    /// The head of a second seal that is not there any more.
    fn lost(&self) -> Option<SealHead> {
        let (second, ..) = self.seals.get(1)?;
        let mut other = second.clone();
        other.root = leaf_hash(b"lost");
        let mut head = other.head();
        head.signature = self.sign(&head.to_sign())?;
        Some(head)
    }

    fn file(&self, lost: &SealHead) -> Option<String> {
        let (key, mut file) = (self.signer.key_name(), String::new());
        let newest = self.seals.last().map(|(seal, ..)| seal.head());
        let entries = self.chain.entries;
        ProofLine::header(self.tenant, newest, 700 + entries)
            .write(&mut file)
            .ok()?;
        let lost = vec![LostSeal::new(lost.number, lost.seal)];
        let (mut adoption, bytes) =
            Adoption::new(self.tenant, (1, 3, 0), lost, ("restored", self.at), &key);
        adoption.signature = self.sign(&bytes)?;
        ProofLine::adoption(adoption).write(&mut file).ok()?;
        let mut written = 0;
        for (seal, batch, entries) in &self.seals {
            ProofLine::seal(seal.clone(), batch).write(&mut file).ok()?;
            // The second entry was removed.
            for (place, (entry, stored)) in (seal.first..).zip(entries) {
                if place != 2 {
                    ProofLine::write_entry(entry, *stored, &mut file).ok()?;
                    written += 1;
                }
            }
        }
        let places = Ranges::merged(vec![(2, 2)]);
        let (mut removal, bytes) = Removal::new(
            self.tenant,
            &places,
            ("past its time", &Ends::default()),
            &key,
        );
        removal.signature = self.sign(&bytes)?;
        ProofLine::removal(removal).write(&mut file).ok()?;
        let end = ProofLine::end(self.seals.len() as u64, written);
        end.write(&mut file).ok()?;
        Some(file)
    }

    fn inclusion(&self) -> Option<String> {
        let (seal, batch, entries) = self.seals.first()?;
        let (entry, stored) = entries.last()?;
        let index = entries.len().checked_sub(1)?;
        let proof = InclusionProof {
            index: u32::try_from(index).ok()?,
            path: inclusion_path(&batch.leaves, index)?,
            created_at: stored.created_at,
            transaction: stored.transaction,
            seal: seal.clone(),
        };
        inclusion_line(entry, *stored, &proof).ok()
    }

    fn consistency(&self) -> Option<String> {
        let hashes: Vec<_> = self.seals.iter().map(|(seal, ..)| seal.hash()).collect();
        let proof = ConsistencyProof {
            from: self.seals.first()?.0.head(),
            to: self.seals.last()?.0.head(),
            path: consistency_path(&hashes, 1)?,
        };
        consistency_line(&proof).ok()
    }
}
