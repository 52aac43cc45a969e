//! The seal whose entries are being read.

use std::collections::HashMap;

use uuid::Uuid;

use super::report::Fault;
use crate::{
    AuditEntryId, Change, Seal, Verdict,
    merkle::Hash,
    model::{Batch, Damaged, EntrySeen},
};

pub(super) struct Open {
    pub(super) seal: Seal,
    ids: Vec<Uuid>,
    leaves: Vec<Hash>,
    seen: Vec<bool>,
    /// Where the next entry should stand.
    at: usize,
    /// Places by id, made when an entry is not where it should be.
    places: Option<HashMap<Uuid, usize>>,
}

/// What an entry turned out to be.
pub(super) enum Judged {
    /// As it was sealed, with details erased or not.
    Intact { erased: bool },
    /// With its place in the seal, if it has one.
    Faulty(Option<usize>, Fault),
}

impl Open {
    pub(super) fn new(seal: Seal, batch: Batch) -> Self {
        let seen = vec![false; batch.ids.len()];
        Self {
            seal,
            ids: batch.ids,
            leaves: batch.leaves,
            seen,
            at: 0,
            places: None,
        }
    }

    pub(super) fn judge(&mut self, entry: EntrySeen) -> Judged {
        if entry.tenant != self.seal.tenant {
            return Judged::Faulty(None, Fault::EntryForeign(entry.tenant));
        }
        let (place, moved) = match self.take(entry.id) {
            Ok(taken) => taken,
            Err(place) => return Judged::Faulty(place, Fault::EntryAdded),
        };
        if self.leaves.get(place) != Some(&entry.leaf.hash(self.seal.tenant)) {
            return Judged::Faulty(Some(place), Fault::EntryChanged);
        }
        match entry.verdict {
            Verdict::Changed(Change::Personal(name)) => {
                Judged::Faulty(Some(place), Fault::detail_changed(&name))
            }
            Verdict::Changed(Change::Stripped(names)) => {
                let name = names.first().map_or("", String::as_str);
                Judged::Faulty(Some(place), Fault::detail_stripped(name))
            }
            Verdict::Changed(_) => Judged::Faulty(Some(place), Fault::EntryChanged),
            _ if moved => Judged::Faulty(Some(place), Fault::EntryMoved),
            Verdict::Erased(_) => Judged::Intact { erased: true },
            Verdict::Intact => Judged::Intact { erased: false },
        }
    }

    /// An entry that can't be read.
    pub(super) fn judge_damaged(&mut self, line: &Damaged) -> Judged {
        match self.take(line.id) {
            Ok((place, _)) => {
                let part = line.parts.first().map_or("", String::as_str);
                Judged::Faulty(Some(place), Fault::entry_unreadable(part))
            }
            Err(place) => Judged::Faulty(place, Fault::EntryAdded),
        }
    }

    /// The place of an entry that comes for the first time, and whether it should have come before; or the
    /// place, if any, of one that should not come.
    fn take(&mut self, id: AuditEntryId) -> Result<(usize, bool), Option<usize>> {
        let place = self.place(id.as_uuid()).ok_or(None)?;
        let moved = place < self.at;
        self.at = self.at.max(place + 1);
        match self.seen.get_mut(place) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(Some(place)),
        }
        Ok((place, moved))
    }

    /// The entries that did not come: place in the seal, and id.
    pub(super) fn missing(&self) -> impl Iterator<Item = (usize, Uuid)> {
        let all = self.ids.iter().zip(&self.seen).enumerate();
        all.filter(|(_, (_, seen))| !**seen)
            .map(|(place, (id, _))| (place, *id))
    }

    fn place(&mut self, id: Uuid) -> Option<usize> {
        if self.ids.get(self.at) == Some(&id) {
            return Some(self.at);
        }
        let ids = &self.ids;
        let index = || {
            ids.iter()
                .enumerate()
                .map(|(place, id)| (*id, place))
                .collect()
        };
        self.places.get_or_insert_with(index).get(&id).copied()
    }
}
