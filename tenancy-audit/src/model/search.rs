//! Where in the log a search looks, and the pages it makes.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use tenancy_core::TenantId;
use uuid::Uuid;

use super::{
    canonical::Encoder,
    cursor::{Cursor, Position},
    entry::{AuditEntryId, Entry},
    filter::{Filter, SearchText},
    mark::Mark,
    query::{AuditQuery, Order, Page},
};
use crate::Error;

/// The most texts and exceptions of a search.
const MOST_CONDITIONS: usize = 32;

impl AuditQuery {
    /// For stores: how many entries its pages have, 1 to 1,000.
    pub fn page_size(&self) -> u16 {
        self.limit.unwrap_or(50).clamp(1, 1_000)
    }

    /// For stores: what was there at this mark, and nothing else, is to be found; everything without one.
    pub fn seen(&self) -> Option<&Mark> {
        self.seen.as_ref()
    }

    /// For stores: the ids that the page's entries have, by the times asked for and where the page before ended.
    ///
    /// # Errors
    /// [`Cursor`](crate::ErrorKind::Cursor) if the cursor belongs to another search or tenant;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) `audit_query_too_long` if there are too many filters.
    pub fn ids(&self, tenant: TenantId) -> Result<Range<AuditEntryId>, Error> {
        self.check()?;
        let mut from = self.time.from.map_or(0, floor_of);
        // No entry is a day ahead of the database's clock: months to come need not be looked at. A time that was asked
        // for does not depend on this clock, unless it is far ahead of it.
        let ahead = |days| Utc::now() + TimeDelta::days(days);
        let to = self.time.to.map_or(ahead(2), |to| to.min(ahead(32)));
        let mut to = floor_of(to);
        if let Some(cursor) = &self.after {
            let last = cursor.position(self, tenant)?.last.as_u128();
            match self.order {
                Order::NewestFirst => to = to.min(last),
                Order::OldestFirst => from = from.max(last.saturating_add(1)),
            }
        }
        let id = |bits| AuditEntryId::from_uuid(Uuid::from_u128(bits));
        Ok(id(from)..id(to))
    }

    /// For stores: the page that these entries make, in the order asked for; one more than fits says that there is
    /// another page. `looked_to` is the last entry that was looked at, where the search was cut short there.
    pub fn page(
        &self,
        tenant: TenantId,
        mut entries: Vec<Entry>,
        looked_to: Option<AuditEntryId>,
    ) -> Page {
        let size = usize::from(self.page_size());
        let more = entries.len() > size;
        entries.truncate(size);
        let last = entries.last().filter(|_| more).map(|entry| entry.id);
        let next = last.or(looked_to).map(|last| {
            let last = last.as_uuid();
            Cursor::at(&Position { last }, self, tenant)
        });
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

    /// The filters, for the entry that says what was exported: first those that can stand there for good, then those
    /// that may name a person, texts and addresses.
    pub(crate) fn recorded(&self) -> (Value, Value) {
        let is_personal = |filter: &Filter| matches!(filter, Filter::Ip(_) | Filter::Text(_));
        let mut lasting = self.clone();
        lasting.ip = None;
        lasting.text.clear();
        lasting.except.retain(|filter| !is_personal(filter));
        let mut personal = Self::new();
        personal.ip = self.ip;
        personal.text.clone_from(&self.text);
        personal.except.clone_from(&self.except);
        personal.except.retain(is_personal);
        (lasting.to_json(), personal.to_json())
    }

    fn to_json(&self) -> Value {
        let time = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
        let mut filters = Map::new();
        for filter in self.conditions() {
            match filter {
                // There may be several.
                Filter::Text(_) => {}
                other => filters.extend(other.to_json().as_object().cloned().unwrap_or_default()),
            }
        }
        let texts: Vec<&str> = self.text.iter().map(SearchText::as_str).collect();
        let except: Vec<Value> = self.except.iter().map(Filter::to_json).collect();
        filters.insert("text".to_owned(), json!(texts));
        filters.insert("except".to_owned(), json!(except));
        filters.insert("from_micros".to_owned(), json!(time(self.time.from)));
        filters.insert("to_micros".to_owned(), json!(time(self.time.to)));
        filters.retain(|_, value| !value.is_null() && *value != json!([]));
        Value::Object(filters)
    }

    /// Whether the search has filters that no index serves.
    pub(crate) fn is_unindexed(&self) -> bool {
        self.target.is_some()
            || self.ip.is_some()
            || !self.text.is_empty()
            || !self.except.is_empty()
    }

    /// Whether an entry was made in the time that the query asks for.
    pub(crate) fn is_in_time(&self, entry: &Entry) -> bool {
        let id = entry.id.as_uuid().as_u128();
        self.time.from.is_none_or(|from| id >= floor_of(from))
            && self.time.to.is_none_or(|to| id < floor_of(to))
    }

    /// # Errors
    /// `audit_query_too_long`: more texts and exceptions than a search may have.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.text.len() + self.except.len() <= MOST_CONDITIONS {
            return Ok(());
        }
        let message = format!("a search has at most {MOST_CONDITIONS} texts and exceptions");
        Err(Error::invalid("audit_query_too_long", message))
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
    fn what_may_name_a_person_is_told_apart() {
        let text = "action:note.* ip:192.0.2.7 ann@example.com -bob -ip:192.0.2.8 -outcome:denied";
        let query: AuditQuery = text.parse().unwrap();
        let (lasting, personal) = query.recorded();
        assert_eq!(
            lasting,
            json!({ "action_prefix": "note.", "except": [{ "outcome": "denied" }] })
        );
        assert_eq!(
            personal,
            json!({
                "ip": "192.0.2.7",
                "text": ["ann@example.com"],
                "except": [{ "text": "bob" }, { "ip": "192.0.2.8" }],
            })
        );
        let none = AuditQuery::new().recorded();
        assert_eq!(none, (json!({}), json!({})));
    }

    #[test]
    fn a_time_range_takes_whole_milliseconds_that_lie_in_it() {
        let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
        assert_eq!(floor_of(at(1_000)) >> 80, 1);
        assert_eq!(floor_of(at(1_001)) >> 80, 2);
        assert_eq!(floor_of(at(-5)), 0);
        assert_eq!(floor_of(DateTime::<Utc>::MAX_UTC) >> 80, (1 << 48) - 1);
    }
}
