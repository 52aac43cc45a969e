//! The seals that an anchor knew and a log does not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
};

use tenancy_core::{OperatorDb, TenantId};

use super::verify::{Lines, MOST_NUMBERS, is_torn};
use crate::{Error, LostSeal, SealHead, SealKeys, merkle::Hash, postgres::Reading};

/// How many seals are kept of all tenants together, unless it is said otherwise.
const MOST: usize = 10_000_000;

/// How many seals are compared with the log at once.
const PART: usize = 16_384;

/// After so many bytes no further line is read to compare them.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// Seals by number and hash, of each tenant as many as a verifier compares: no verifier knows more of them.
#[derive(Clone)]
pub(super) struct Lost {
    of: BTreeMap<TenantId, BTreeSet<LostSeal>>,
    kept: usize,
    most: usize,
}

impl Default for Lost {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            kept: 0,
            most: MOST,
        }
    }
}

impl Lost {
    pub(super) fn at_most(&mut self, seals: usize) {
        self.most = seals.max(1);
    }

    /// Adds those of an anchor's file, one head a line, that are not in the log. Only of these the signatures are
    /// looked at. What was torn, or was not signed, is passed over: verifiers tell of it.
    pub(super) async fn read(
        &mut self,
        file: impl BufRead,
        operator: &OperatorDb,
        keys: &SealKeys,
    ) -> Result<(), Error> {
        let (mut lines, mut any) = (Lines::new(file), false);
        while let Some(heads) = part(&mut lines)? {
            let mut reading = Reading::owner(operator).await?;
            for (tenant, heads) in heads {
                any = true;
                let numbers: Vec<u64> = heads.iter().map(|head| head.number).collect();
                let there = reading
                    .of(tenant)
                    .await?
                    .seal_hashes(tenant, &numbers)
                    .await?;
                for head in heads {
                    if !is_there(&there, head.number, &head.seal) && is_signed(&head, keys)? {
                        self.add(tenant, LostSeal::new(head.number, head.seal))?;
                    }
                }
            }
        }
        if any || lines.read() == 0 {
            Ok(())
        } else {
            Err(no_head(1))
        }
    }

    fn add(&mut self, tenant: TenantId, seal: LostSeal) -> Result<(), Error> {
        let of = self.of.entry(tenant).or_default();
        self.kept += usize::from(of.insert(seal));
        let newest = of.last().map_or(0, |seal| seal.number);
        while of
            .first()
            .is_some_and(|seal| newest - seal.number >= MOST_NUMBERS)
        {
            of.pop_first();
            self.kept -= 1;
        }
        if self.kept > self.most {
            let message = format!(
                "more than {} seals that the anchor knew are not in the log: adopt it with room for more of them \
                 (`Adopter::with_most_lost`), or restore a newer backup",
                self.most
            );
            return Err(Error::invalid("audit_lost_too_many", message));
        }
        Ok(())
    }

    /// Whose seals they are.
    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.of.keys().copied()
    }

    /// Those of a tenant that the log, which is read here, doesn't have now either, by number.
    pub(super) async fn of(
        &self,
        tenant: TenantId,
        reading: &mut Reading,
    ) -> Result<Vec<LostSeal>, Error> {
        let known: Vec<LostSeal> = self
            .of
            .get(&tenant)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let mut lost = Vec::new();
        for part in known.chunks(PART) {
            let numbers: Vec<u64> = part.iter().map(|seal| seal.number).collect();
            let there = reading.seal_hashes(tenant, &numbers).await?;
            let gone = part
                .iter()
                .filter(|seal| !is_there(&there, seal.number, &seal.seal));
            lost.extend(gone.copied());
        }
        Ok(lost)
    }
}

/// The heads of the next lines, tenant by tenant; `None` at the end.
fn part(
    lines: &mut Lines<impl BufRead>,
) -> Result<Option<BTreeMap<TenantId, Vec<SealHead>>>, Error> {
    let mut heads: BTreeMap<TenantId, Vec<SealHead>> = BTreeMap::new();
    let (mut read, mut bytes) = (0, 0);
    while read < PART && bytes < PART_BYTES {
        let Some(line) = lines.next()? else {
            return Ok((read > 0).then_some(heads));
        };
        read += 1;
        let (number, Some(line)) = (line.number(), line.bytes()) else {
            continue;
        };
        bytes += line.len();
        match serde_json::from_slice::<SealHead>(line) {
            Ok(head) => heads.entry(head.tenant).or_default().push(head),
            Err(_) if !is_torn(line) => return Err(no_head(number)),
            Err(_) => {}
        }
    }
    Ok(Some(heads))
}

fn no_head(line: u64) -> Error {
    let message =
        format!("line {line} of the anchor's file is no head of a log: is it another file?");
    Error::invalid("audit_proof_format", message)
}

fn is_there(there: &BTreeMap<u64, Hash>, number: u64, seal: &Hash) -> bool {
    there.get(&number) == Some(seal)
}

/// Whether it was signed. Of a head under a key that is not given nobody can say, and one that an adoption did not
/// name would be an alarm for ever.
fn is_signed(head: &SealHead, keys: &SealKeys) -> Result<bool, Error> {
    head.is_signed(keys).ok_or_else(|| {
        let message = format!(
            "the anchor has heads that the key `{}` signed, which is not among the keys: give its public key, too",
            head.key.escape_debug()
        );
        Error::invalid("audit_seal_key_unknown", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(lost: &Lost, tenant: TenantId) -> Vec<u64> {
        lost.of[&tenant].iter().map(|seal| seal.number).collect()
    }

    #[test]
    fn of_each_tenant_no_fewer_are_kept_than_a_verifier_compares() {
        let (mut lost, ours, other) = (Lost::default(), TenantId::new(), TenantId::new());
        lost.at_most(5);
        let oldest = [7, 8, 9, MOST_NUMBERS + 6];
        for number in oldest {
            lost.add(ours, LostSeal::new(number, [0; 32])).unwrap();
        }
        assert_eq!(numbers(&lost, ours), oldest);
        lost.add(ours, LostSeal::new(MOST_NUMBERS + 8, [0; 32]))
            .unwrap();
        assert_eq!(
            numbers(&lost, ours),
            [9, MOST_NUMBERS + 6, MOST_NUMBERS + 8]
        );
        // One that is older than all that is kept, one that is kept, and another of its number.
        for (number, hash, kept) in [(8, [0; 32], 3), (9, [0; 32], 3), (9, [1; 32], 4)] {
            lost.add(ours, LostSeal::new(number, hash)).unwrap();
            assert_eq!(lost.kept, kept);
        }
        lost.add(other, LostSeal::new(1, [0; 32])).unwrap();
        let refused = lost.add(other, LostSeal::new(2, [0; 32])).unwrap_err();
        assert_eq!(refused.code(), "audit_lost_too_many");
    }
}
