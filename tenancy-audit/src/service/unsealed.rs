//! Looking for entries that no seal holds.

use tenancy_core::TenantId;
use uuid::Uuid;

use crate::{Error, model::Unsealed, postgres::Reading};

/// Walks through a tenant's entries and its seals side by side, in the order of ids.
///
/// It keeps the ids of those seals that reach over the entries at hand: one or two, unless the writers'
/// clocks differ, and never those of more than two days.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The last entry that was looked at.
    after: Uuid,
    /// The last seal that was read: the least of its ids, and its number.
    read: (Uuid, u64),
    open: Vec<Held>,
}

/// What a seal holds.
#[derive(Debug)]
struct Held {
    last: Uuid,
    ids: Vec<Uuid>,
}

impl Walk {
    /// Of the next entries those that no seal holds; `None` at the end. After an error it goes on from
    /// where it was.
    pub(super) async fn next(
        &mut self,
        reading: &mut Reading,
        tenant: TenantId,
    ) -> Result<Option<Vec<Unsealed>>, Error> {
        let entries = reading.entry_ids(tenant, self.after).await?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(None);
        };
        let (first, last) = (first.id.as_uuid(), last.id.as_uuid());
        // Nothing that comes later lies before the first of these.
        self.open.retain(|held| held.last >= first);
        loop {
            let seals = reading.seal_ids(tenant, self.read, last).await?;
            let Some(newest) = seals.last() else { break };
            self.read = (newest.id_min, newest.number);
            for seal in seals.into_iter().filter(|seal| seal.id_max >= first) {
                let mut ids = seal.ids;
                ids.sort_unstable();
                self.open.push(Held {
                    last: seal.id_max,
                    ids,
                });
            }
        }
        self.after = last;
        let unsealed = |entry: &Unsealed| {
            let id = entry.id.as_uuid();
            !self
                .open
                .iter()
                .any(|held| held.ids.binary_search(&id).is_ok())
        };
        Ok(Some(entries.into_iter().filter(unsealed).collect()))
    }
}
