//! Where in the log a search looks, and the pages it makes.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tenancy_core::{Outcome, TenantId};
use uuid::Uuid;

use super::{
    canonical::Encoder,
    cursor::{Cursor, Position},
    entry::Entry,
    query::{ActionFilter, ActorFilter, AuditQuery, Order, Page, ResourceFilter},
};
use crate::Error;

impl AuditQuery {
    /// Leaves out what is made from now on, so that a walk through the log ends.
    pub(crate) fn end_now(&mut self) {
        self.before = Some(Uuid::now_v7());
    }

    pub(crate) fn page_size(&self) -> u16 {
        self.limit.unwrap_or(50).clamp(1, 1_000)
    }

    /// The ids the page may have: from the first on, and before the second.
    ///
    /// # Errors
    /// The cursor belongs to another search or tenant.
    pub(crate) fn bounds(&self, tenant: TenantId) -> Result<(Uuid, Uuid), Error> {
        let mut from = self.time.from.map_or(0, floor_of);
        // No entry is a day ahead of the database's clock: months to come need not be looked at.
        let mut to = floor_of(
            self.time
                .to
                .unwrap_or_else(|| Utc::now() + TimeDelta::days(2)),
        );
        to = to.min(self.before.map_or(u128::MAX, |id| id.as_u128()));
        if let Some(cursor) = &self.after {
            let last = cursor.position(self, tenant)?.last.as_u128();
            match self.order {
                Order::NewestFirst => to = to.min(last),
                Order::OldestFirst => from = from.max(last.saturating_add(1)),
            }
        }
        Ok((Uuid::from_u128(from), Uuid::from_u128(to)))
    }

    /// The page that these entries make; they may be one more than fit.
    pub(crate) fn page(&self, tenant: TenantId, mut entries: Vec<Entry>) -> Page {
        let size = usize::from(self.page_size());
        let more = entries.len() > size;
        entries.truncate(size);
        let last = entries
            .last()
            .filter(|_| more)
            .map(|entry| entry.id.as_uuid());
        let next = last.map(|last| Cursor::at(&Position { last }, self, tenant));
        Page { entries, next }
    }

    /// What identifies the search, apart from where in it a page is and how long.
    pub(crate) fn fingerprint(&self, tenant: TenantId) -> [u8; 32] {
        let mut encoder = Encoder::new("tenancy.audit.query.v1");
        encoder.bytes(tenant.as_uuid().as_bytes());
        encoder.flag(self.order == Order::NewestFirst);
        encoder.json(&self.to_json());
        encoder.sha256()
    }

    /// The filters, for the entry that says what was exported.
    pub(crate) fn to_json(&self) -> Value {
        let (action, prefix) = match &self.action {
            Some(ActionFilter::Exact(action)) => (Some(action.as_str()), None),
            Some(ActionFilter::Prefix(prefix)) => (None, Some(prefix.as_str())),
            None => (None, None),
        };
        let (resource, kind) = match &self.resource {
            Some(ResourceFilter::Exact(target)) => (Some(json!(target)), None),
            Some(ResourceFilter::Kind(kind)) => (None, Some(kind)),
            None => (None, None),
        };
        let actor = self.actor.as_ref().map(ActorFilter::columns);
        let time = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
        let mut filters = json!({
            "actor": actor.map(|(kind, id)| json!({ "kind": kind, "id": id })),
            "action": action,
            "action_prefix": prefix,
            "resource": resource,
            "resource_kind": kind,
            "target": self.target,
            "outcome": self.outcome.map(Outcome::as_str),
            "from_micros": time(self.time.from),
            "to_micros": time(self.time.to),
            "request": self.request,
        });
        if let Value::Object(map) = &mut filters {
            map.retain(|_, value| !value.is_null());
        }
        filters
    }
}

/// The smallest uuid v7 that is not before this instant.
fn floor_of(at: DateTime<Utc>) -> u128 {
    let micros = at.timestamp_micros().max(0);
    let millis = micros.unsigned_abs().div_ceil(1_000).min((1 << 48) - 1);
    u128::from(millis) << 80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_range_takes_whole_milliseconds_that_lie_in_it() {
        let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
        assert_eq!(floor_of(at(1_000)) >> 80, 1);
        assert_eq!(floor_of(at(1_001)) >> 80, 2);
        assert_eq!(floor_of(at(-5)), 0);
        assert_eq!(floor_of(DateTime::<Utc>::MAX_UTC) >> 80, (1 << 48) - 1);
    }
}
