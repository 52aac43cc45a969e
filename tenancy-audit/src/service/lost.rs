//! The seals that an anchor knew and a log does not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
};

use tenancy_core::{OperatorDb, TenantId};
use uuid::Uuid;

use super::verify::{Lines, is_torn};
use crate::{
    Error, SealHead, SealKeys,
    model::LostSeal,
    postgres::{Reading, missing_now},
};

/// How many seals are kept of all tenants together, unless it is said otherwise.
const MOST: usize = 5_000_000;

/// How many seals are compared with the log at once, and how many one adoption names.
const PART: usize = 10_000;

/// After so many bytes no further line is read to compare them.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// After so many signatures others have a turn.
const TURN: usize = 64;

/// Seals by number and hash.
#[derive(Clone)]
pub(super) struct Lost {
    of: BTreeMap<TenantId, BTreeSet<LostSeal>>,
    kept: usize,
    most: usize,
    /// Lines of anchors that are no head which somebody signed.
    passed_over: u64,
}

/// Heads with their lines, and how many lines were something else.
#[derive(Default)]
struct Part {
    heads: Vec<(u64, SealHead)>,
    others: u64,
}

impl Default for Lost {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            kept: 0,
            most: MOST,
            passed_over: 0,
        }
    }
}

impl Lost {
    pub(super) fn at_most(&mut self, seals: usize) {
        self.most = seals.max(1);
    }

    pub(super) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Adds those of an anchor's file, one head a line, that are not in the log, and that no adoption names. Only of
    /// these the signatures are looked at. What was torn, was put there or was not signed is passed over: verifiers
    /// tell of it.
    pub(super) async fn read(
        &mut self,
        file: impl BufRead,
        operator: &OperatorDb,
        keys: &SealKeys,
    ) -> Result<(), Error> {
        let (mut lines, mut any) = (Lines::new(file), false);
        while let Some(part) = part(&mut lines)? {
            any |= !part.heads.is_empty();
            self.passed_over += part.others;
            self.add(&part.heads, operator, keys).await?;
            if self.kept > self.most {
                self.forget_named(operator, keys).await?;
                self.has_room()?;
            }
        }
        if !any && lines.read() > 0 {
            let message = "the anchor's file has no head of a log: is it another file?";
            return Err(Error::invalid("audit_proof_format", message));
        }
        self.forget_named(operator, keys).await
    }

    /// Adds those of these heads that somebody signed and that are not in the log.
    async fn add(
        &mut self,
        heads: &[(u64, SealHead)],
        operator: &OperatorDb,
        keys: &SealKeys,
    ) -> Result<(), Error> {
        let seals: Vec<_> = heads.iter().map(|(_, head)| seal_of(head)).collect();
        let missing = missing_now(operator, &seals).await?;
        let missing = missing.into_iter().filter_map(|place| heads.get(place));
        for (count, (line, head)) in missing.enumerate() {
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let signed = head.is_signed(keys);
            if signed.ok_or_else(|| key_unknown(*line, head))? {
                let (tenant, seal) = seal_of(head);
                self.kept += usize::from(self.of.entry(tenant).or_default().insert(seal));
            } else {
                self.passed_over += 1;
            }
        }
        Ok(())
    }

    /// Forgets what an adoption names that is signed.
    async fn forget_named(&mut self, operator: &OperatorDb, keys: &SealKeys) -> Result<(), Error> {
        let mut reading = Reading::owner(operator).await?;
        for (tenant, seals) in &mut self.of {
            let (Some(first), Some(last)) = (seals.first(), seals.last()) else {
                continue;
            };
            let between = (first.number, last.number);
            let (reading, mut after) = (reading.of(*tenant).await?, Uuid::nil());
            loop {
                let adoptions = reading.adoptions_between(*tenant, after, between).await?;
                let Some((newest, _)) = adoptions.last() else {
                    break;
                };
                after = *newest;
                for adoption in adoptions.into_iter().filter_map(|(_, adoption)| adoption) {
                    if adoption.is_signed(*tenant, keys) == Some(true) {
                        for named in &adoption.lost {
                            seals.remove(named);
                        }
                    }
                }
            }
        }
        self.of.retain(|_, seals| !seals.is_empty());
        self.kept = self.of.values().map(BTreeSet::len).sum();
        Ok(())
    }

    /// There is room as long as an eighth is left: otherwise ever more would be forgotten for ever less.
    fn has_room(&self) -> Result<(), Error> {
        if self.kept <= self.most - self.most / 8 {
            return Ok(());
        }
        let message = format!(
            "{} seals that the anchor knew are not in the log, and there may be more: adopt it with room for more of \
             them (`Adopter::with_most_lost`), or restore a newer backup",
            self.kept
        );
        Err(Error::invalid("audit_lost_too_many", message))
    }

    /// Whose seals they are.
    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.of.keys().copied()
    }

    /// Those of a tenant, by number, in parts.
    pub(super) fn parts(
        &self,
        tenant: TenantId,
    ) -> impl Iterator<Item = Vec<(TenantId, LostSeal)>> {
        let mut seals = self.of.get(&tenant).into_iter().flatten().peekable();
        std::iter::from_fn(move || {
            seals.peek()?;
            let part = seals.by_ref().take(PART);
            Some(part.map(|seal| (tenant, *seal)).collect())
        })
    }
}

fn seal_of(head: &SealHead) -> (TenantId, LostSeal) {
    (head.tenant, LostSeal::new(head.number, head.seal))
}

/// What the next lines are; `None` at the end.
fn part(lines: &mut Lines<impl BufRead>) -> Result<Option<Part>, Error> {
    let (mut part, mut read, mut bytes) = (Part::default(), 0, 0);
    while read < PART && bytes < PART_BYTES {
        let Some(line) = lines.next()? else {
            return Ok((read > 0).then_some(part));
        };
        read += 1;
        let (number, Some(line)) = (line.number(), line.bytes()) else {
            continue;
        };
        bytes += line.len();
        match serde_json::from_slice::<SealHead>(line) {
            Ok(head) => part.heads.push((number, head)),
            Err(_) => part.others += u64::from(!is_torn(line)),
        }
    }
    Ok(Some(part))
}

/// Of a head under a key that is not given nobody can say whose it is, and one that an adoption does not name would be
/// an alarm for ever.
fn key_unknown(line: u64, head: &SealHead) -> Error {
    let message = format!(
        "line {line} of the anchor's file is the head of a seal that is not there, signed with the key `{}`, which is \
         not among the keys: give its public key, too, or a copy of the file without what is not this log's",
        head.key.escape_debug()
    );
    Error::invalid("audit_seal_key_unknown", message)
}
