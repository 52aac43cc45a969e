//! A store that a host writes itself, of rows of its own in a list: the port can be implemented from outside.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenancy_audit::{
    AuditEntryId, AuditLog, AuditQuery, AuditStore, AuditWriter, CountBy, Counts, Draft, Entry,
    EntryKey, Error, ErrorKind, ExportFormat, Followed, Mark, Order, Page, Record, RecordedActor,
    testing::conformance::audit_store,
};
use tenancy_core::{
    AuditSink as _, Event, Outcome, RequestId, Target, TenantCtx, TenantId, TenantTx, UserId,
    testing::FakeAuthorizer,
};

use crate::support::House;

/// A record as this store keeps it, which is text.
#[derive(Deserialize, Serialize)]
struct Row {
    id: AuditEntryId,
    tenant: TenantId,
    actor: (String, String, Option<UserId>, Option<UserId>),
    action: String,
    resource: Option<String>,
    outcome: Outcome,
    targets: Vec<Target>,
    details: [Map<String, Value>; 4],
    request: Option<RequestId>,
    flags: (bool, bool, i16),
    content_hash: [u8; 32],
}

impl From<Record> for Row {
    fn from(record: Record) -> Self {
        let actor = record.actor;
        Self {
            id: record.id,
            tenant: record.tenant,
            actor: (actor.kind, actor.id, actor.user, actor.on_behalf_of),
            action: record.action,
            resource: record.resource,
            outcome: record.outcome,
            targets: record.targets,
            details: [
                record.context,
                record.personal,
                record.commitments,
                record.meta,
            ],
            request: record.request,
            flags: (record.redacted, record.truncated, record.schema_version),
            content_hash: record.content_hash,
        }
    }
}

impl From<Row> for Record {
    fn from(row: Row) -> Self {
        let (kind, id, user, on_behalf_of) = row.actor;
        let mut actor = RecordedActor::new(kind, id);
        (actor.user, actor.on_behalf_of) = (user, on_behalf_of);
        let mut record = Record::new(row.id, row.tenant, actor, row.action);
        record.resource = row.resource;
        record.outcome = row.outcome;
        record.targets = row.targets;
        [
            record.context,
            record.personal,
            record.commitments,
            record.meta,
        ] = row.details;
        record.request = row.request;
        (record.redacted, record.truncated, record.schema_version) = row.flags;
        record.content_hash = row.content_hash;
        record
    }
}

struct Kept {
    row: String,
    at: DateTime<Utc>,
    key: Option<EntryKey>,
}

impl Kept {
    fn new(draft: &Draft) -> Self {
        let row = Row::from(draft.record.clone());
        Self {
            row: serde_json::to_string(&row).unwrap(),
            at: Utc::now(),
            key: draft.key,
        }
    }

    fn entry(&self) -> Entry {
        let row: Row = serde_json::from_str(&self.row).unwrap();
        Entry::new(row.into(), self.at)
    }
}

#[derive(Clone, Default)]
struct Listed(Arc<Mutex<Vec<Kept>>>);

impl Listed {
    fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().iter().map(Kept::entry).collect()
    }

    /// The id under which a key stands in the tenant, of what is kept or about to be.
    fn under(
        key: &EntryKey,
        tenant: TenantId,
        all: &[&Kept],
    ) -> Result<Option<AuditEntryId>, Error> {
        let same = |kept: &&&Kept| {
            let theirs = kept
                .key
                .is_some_and(|theirs| theirs.key_hash == key.key_hash);
            theirs && kept.entry().tenant == tenant
        };
        match all.iter().find(same) {
            Some(kept)
                if kept
                    .key
                    .is_some_and(|of| of.content_hash != key.content_hash) =>
            {
                let message = "the key was used for another event";
                Err(Error::new(ErrorKind::Conflict, "audit_key_reused", message))
            }
            found => Ok(found.map(|kept| kept.entry().id)),
        }
    }

    /// What to keep of the drafts, and under which id each stands.
    fn check(
        kept: &[Kept],
        ctx: &TenantCtx,
        drafts: &[Draft],
    ) -> Result<(Vec<Kept>, Vec<AuditEntryId>), Error> {
        let (mut fresh, mut ids) = (Vec::<Kept>::new(), Vec::new());
        for draft in drafts {
            let own = draft.tenant == ctx.tenant();
            if !own || draft.actor.id != ctx.principal().actor.id() {
                let message = "the entry is of another tenant or actor";
                return Err(Error::new(ErrorKind::Misconfigured, "foreign", message));
            }
            let all: Vec<&Kept> = kept.iter().chain(&fresh).collect();
            let stands = match &draft.key {
                Some(key) => Self::under(key, draft.tenant, &all)?,
                None => None,
            };
            ids.push(stands.unwrap_or(draft.id));
            if stands.is_some() {
                continue;
            }
            if all.iter().any(|kept| kept.entry().id == draft.id) {
                let message = "the entry is there already";
                return Err(Error::new(ErrorKind::Conflict, "already_exists", message));
            }
            fresh.push(Kept::new(draft));
        }
        Ok((fresh, ids))
    }

    /// What the query finds, the oldest first.
    fn found(&self, tenant: TenantId, query: &AuditQuery) -> Result<Vec<Entry>, Error> {
        let (ids, mut found) = (query.ids(tenant)?, self.entries());
        if let Some(mark) = query.seen() {
            found.truncate(place(mark)?);
        }
        found.retain(|entry| {
            entry.tenant == tenant && ids.contains(&entry.id) && query.finds(entry)
        });
        found.sort_by_key(|entry| entry.id);
        Ok(found)
    }
}

fn place(mark: &Mark) -> Result<usize, Error> {
    let unreadable = |_| Error::new(ErrorKind::Cursor, "mark", "the mark can't be read");
    mark.as_str().parse().map_err(unreadable)
}

#[async_trait]
impl AuditStore for Listed {
    async fn append(&self, ctx: &TenantCtx, drafts: &[Draft]) -> Result<Vec<AuditEntryId>, Error> {
        let mut kept = self.0.lock().unwrap();
        let (fresh, ids) = Self::check(&kept, ctx, drafts)?;
        kept.extend(fresh);
        Ok(ids)
    }

    async fn append_in(
        &self,
        tx: &mut TenantTx,
        drafts: &[Draft],
    ) -> Result<Vec<AuditEntryId>, Error> {
        let (fresh, ids) = Self::check(&self.0.lock().unwrap(), tx.ctx(), drafts)?;
        let kept = self.0.clone();
        tx.after_commit(move || kept.lock().unwrap().extend(fresh));
        Ok(ids)
    }

    async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Option<Entry>, Error> {
        let of = |entry: &Entry| entry.tenant == ctx.tenant() && entry.id == id;
        Ok(self.entries().into_iter().find(of))
    }

    async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error> {
        let mut found = self.found(ctx.tenant(), query)?;
        if query.order == Order::NewestFirst {
            found.reverse();
        }
        Ok(query.page(ctx.tenant(), found, None))
    }

    async fn count(
        &self,
        ctx: &TenantCtx,
        query: &AuditQuery,
        by: CountBy,
        most: u32,
    ) -> Result<Counts, Error> {
        let mut query = query.clone();
        query.after = None;
        let found = self.found(ctx.tenant(), &query)?;
        let counted = found.len().min(usize::try_from(most).unwrap());
        let mut groups: Vec<(String, u64)> = Vec::new();
        for entry in found.iter().rev().take(counted) {
            let name = match by {
                CountBy::Action => entry.action.clone(),
                CountBy::Day => entry.occurred_at().format("%F").to_string(),
                CountBy::Outcome => entry.outcome.as_str().to_owned(),
                _ => String::new(),
            };
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => groups.push((name, 1)),
            }
        }
        groups.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
        Ok(Counts::new(counted as u64, found.len() > counted, groups))
    }

    async fn mark(&self, _: &TenantCtx) -> Result<Mark, Error> {
        Ok(Mark::new(self.0.lock().unwrap().len().to_string()))
    }

    async fn follow(&self, ctx: &TenantCtx, mark: &Mark, most: u16) -> Result<Followed, Error> {
        let (from, all) = (place(mark)?, self.entries());
        let (mut entries, mut to) = (Vec::new(), from);
        for entry in all.iter().skip(from) {
            if entries.len() == usize::from(most) {
                break;
            }
            to += 1;
            entries.extend((entry.tenant == ctx.tenant()).then(|| entry.clone()));
        }
        let more = to < all.len();
        Ok(Followed::new(entries, Mark::new(to.to_string()), more))
    }
}

#[tokio::test]
async fn a_store_of_ones_own_conforms() {
    let house = House::new().await;
    audit_store(Arc::new(Listed::default()), &house.db.app).await;
}

#[tokio::test]
async fn the_log_reads_tails_and_exports_from_such_a_store() {
    let house = House::new().await;
    let store = Arc::new(Listed::default());
    let writer = AuditWriter::new(store.clone());
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let log = AuditLog::with_store(store, authorizer, Arc::new(writer.clone()));
    let query = AuditQuery::new();
    let mut tail = log.tail(&house.a, &query).await.unwrap();
    for ctx in [&house.a, &house.b] {
        let event = Event::new("thing.made").personal("email", "ann@example.com");
        writer.record(ctx, event).await.unwrap();
    }
    assert_eq!(tail.poll().await.unwrap().len(), 1);
    let verified = log.verify(&house.a, &query).await.unwrap();
    assert_eq!((verified.checked, verified.changed), (1, 0));
    let format = ExportFormat::Ndjson;
    let mut export = log.export(&house.a, &query, format).await.unwrap();
    writer
        .record(&house.a, Event::new("thing.late"))
        .await
        .unwrap();
    let lines = export.next_lines().await.unwrap().unwrap();
    assert_eq!(
        lines.lines().count(),
        1,
        "what was there when it began: {lines}"
    );
}
