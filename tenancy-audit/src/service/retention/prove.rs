//! Proving what goes against its seals: a removal vouches for what it names.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use tenancy_core::TenantId;
use uuid::Uuid;

use crate::{
    AuditEntryId, Entry, Error, ErrorKind, Seal, SealKeys,
    merkle::Hash,
    model::{Batch, Ends, Leaf, Ranges, SealedAs},
    postgres::{OwnerTx, Reading},
};

/// How many entries an error names.
const MOST_NAMED: usize = 5;

pub(super) struct Prover<'a> {
    pub(super) tenant: TenantId,
    keys: &'a SealKeys,
    /// Where the log stood when it was adopted, as far as it was looked.
    pub(super) adopted: Ends,
    /// Up to which adoption.
    looked: Uuid,
}

/// What was proved of a stretch of ids.
pub(super) struct Stretch {
    pub(super) places: Ranges,
    pub(super) entries: u64,
}

impl<'a> Prover<'a> {
    pub(super) fn new(tenant: TenantId, keys: &'a SealKeys) -> Self {
        Self {
            tenant,
            keys,
            adopted: Ends::default(),
            looked: Uuid::nil(),
        }
    }

    /// The places of these entries, each of which is as it was sealed. They are looked for behind the seal of
    /// the hint first, which then is where the next ones may lie.
    pub(super) async fn places_of(
        &self,
        tx: &mut OwnerTx,
        taken: &[(Entry, SealedAs)],
        hint: &mut u64,
    ) -> Result<Ranges, Error> {
        let ids = || taken.iter().map(|(entry, _)| entry.id.as_uuid());
        let bounds = (
            ids().min().unwrap_or_default(),
            ids().max().unwrap_or_default(),
        );
        let mut left: BTreeMap<Uuid, &(Entry, SealedAs)> = ids().zip(taken).collect();
        let (mut places, mut first) = (Vec::new(), None);
        let reading = tx.reading(self.tenant).await?;
        let passes = if *hint > 0 { vec![*hint, 0] } else { vec![0] };
        'passes: for begin in passes {
            let mut after = begin;
            loop {
                let seals = reading.seals_within(self.tenant, bounds, after).await?;
                let Some((last, _)) = seals.last() else { break };
                after = *last;
                for (seal, batch) in seals.into_iter().filter_map(|(_, sealed)| sealed) {
                    let found = self.found_in(&seal, &batch, &mut left);
                    if !found.is_empty() {
                        first.get_or_insert(seal.number);
                        places.extend(found);
                    }
                }
                if left.is_empty() {
                    break 'passes;
                }
            }
        }
        if let Some(first) = first {
            *hint = first.saturating_sub(1);
        }
        if left.is_empty() {
            return Ok(Ranges::merged(places));
        }
        let ids: Vec<Uuid> = left.into_keys().collect();
        Err(self.refuse("are not as they were sealed", &ids))
    }

    /// The places of those entries that this seal proves, which are no longer left then.
    fn found_in(
        &self,
        seal: &Seal,
        batch: &Batch,
        left: &mut BTreeMap<Uuid, &(Entry, SealedAs)>,
    ) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        if !self.is_sound(seal, batch) {
            return found;
        }
        for (place, id, leaf) in places_in(seal, batch) {
            if left.get(&id).is_some_and(|of| self.is_as_sealed(of, leaf)) {
                left.remove(&id);
                found.push((place, place));
            }
        }
        found
    }

    /// The places of the entries from an id to before another, all of which are as they were sealed. What is
    /// gone was removed.
    pub(super) async fn places_in(
        &self,
        tx: &mut OwnerTx,
        (from, to): (Uuid, Uuid),
    ) -> Result<Stretch, Error> {
        let reading = tx.reading(self.tenant).await?;
        let removed = self.removed(reading).await?;
        let (mut places, mut entries, mut after) = (Ranges::default(), 0, 0);
        loop {
            let seals = reading.seals_within(self.tenant, (from, to), after).await?;
            let Some((last, _)) = seals.last() else {
                return Ok(Stretch { places, entries });
            };
            after = *last;
            for (_, sealed) in seals {
                let Some((seal, batch)) = sealed.filter(|(seal, batch)| self.is_sound(seal, batch))
                else {
                    return Err(self.refuse("are in a seal that was changed", &[]));
                };
                let found = reading.entries(self.tenant, &batch).await?;
                let found: HashMap<Uuid, &(Entry, SealedAs)> =
                    found.iter().map(|of| (of.0.id.as_uuid(), of)).collect();
                for (place, id, leaf) in places_in(&seal, &batch) {
                    if id < from || id >= to {
                        continue;
                    }
                    match found.get(&id) {
                        Some(of) if self.is_as_sealed(of, leaf) => {
                            places.push(place);
                            entries += 1;
                        }
                        Some(_) => return Err(self.refuse("are not as they were sealed", &[id])),
                        None if removed.contains(place) => {}
                        None => return Err(self.refuse("are gone without a removal", &[id])),
                    }
                }
            }
        }
    }

    /// What removals say that went before.
    async fn removed(&self, reading: &mut Reading) -> Result<Ranges, Error> {
        let (mut ranges, mut after) = (Vec::new(), Uuid::nil());
        loop {
            let removals = reading.removals(self.tenant, after).await?;
            let Some((last, _)) = removals.last() else {
                return Ok(Ranges::merged(ranges));
            };
            after = *last;
            for removal in removals.into_iter().filter_map(|(_, removal)| removal) {
                if removal.is_signed(self.tenant, self.keys) == Some(true) {
                    ranges.extend(self.adopted.removed(&removal));
                }
            }
            ranges = Ranges::merged(ranges).0;
        }
    }

    /// Looks what the log was adopted with since the last look.
    pub(super) async fn look(&mut self, reading: &mut Reading) -> Result<(), Error> {
        loop {
            let adoptions = reading.adoptions(self.tenant, self.looked).await?;
            let Some((last, _)) = adoptions.last() else {
                return Ok(());
            };
            self.looked = *last;
            for adoption in adoptions.into_iter().filter_map(|(_, adoption)| adoption) {
                if adoption.is_signed(self.tenant, self.keys) == Some(true) {
                    self.adopted.add(&adoption);
                }
            }
        }
    }

    fn is_sound(&self, seal: &Seal, batch: &Batch) -> bool {
        seal.head().is_signed(self.keys) == Some(true) && seal.holds(batch)
    }

    pub(super) fn is_as_sealed(&self, (entry, stored): &(Entry, SealedAs), leaf: &Hash) -> bool {
        Leaf::of(entry, *stored).hash(self.tenant) == *leaf
            && entry.verify_stored(Some(self.keys)).is_intact()
    }

    /// Tells it, too: somebody should look.
    pub(super) fn refuse(&self, what: &str, ids: &[Uuid]) -> Error {
        let mut message = format!(
            "entries of tenant `{}` {what}, and nothing of this batch was removed: verify the log",
            self.tenant
        );
        for id in ids.iter().take(MOST_NAMED) {
            // Writing to a string does not fail.
            let _ = write!(message, "; `{}`", AuditEntryId::from_uuid(*id));
        }
        if let Some(more) = ids.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
            let _ = write!(message, "; and {more} more");
        }
        metrics::counter!("tenancy_audit_unproven_total").increment(1);
        tracing::error!(tenant = %self.tenant, message);
        Error::new(ErrorKind::Internal, "audit_removal_unproven", message)
    }
}

/// The places of a seal, with what stands there.
fn places_in<'a>(seal: &Seal, batch: &'a Batch) -> impl Iterator<Item = (u64, Uuid, &'a Hash)> {
    let entries = batch.ids.iter().zip(&batch.leaves);
    (seal.first..)
        .zip(entries)
        .map(|(place, (id, leaf))| (place, *id, leaf))
}
