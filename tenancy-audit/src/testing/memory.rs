use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::Utc;
use tenancy_core::{Outcome, TenantCtx, TenantTx};

use crate::{
    ActionFilter, ActorFilter, AuditEntryId, AuditQuery, AuditStore, Entry, Error, ErrorKind,
    Order, Page, Record, ResourceFilter, model::resource_of,
};

/// Keeps entries in memory. Entries of a transaction appear when it commits.
#[derive(Clone, Debug, Default)]
pub struct MemoryAuditStore(Arc<Mutex<Vec<Entry>>>);

impl MemoryAuditStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every entry of every tenant, in the order they came.
    pub fn entries(&self) -> Vec<Entry> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, ctx: &TenantCtx, records: &[Record]) -> Result<(), Error> {
        let foreign = |record: &Record| {
            record.tenant != ctx.tenant() || record.actor.id != ctx.principal().actor.id()
        };
        if records.iter().any(foreign) {
            let message = "the entry's tenant or actor is not the context's";
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "database_privilege",
                message,
            ));
        }
        let kept = self.locked();
        if records
            .iter()
            .any(|record| kept.iter().any(|entry| entry.id == record.id))
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                "already_exists",
                "the entry is there already",
            ));
        }
        Ok(())
    }
}

fn stored(records: &[Record]) -> Vec<Entry> {
    records
        .iter()
        .map(|record| Entry::new(record.clone(), Utc::now()))
        .collect()
}

#[async_trait]
impl AuditStore for MemoryAuditStore {
    async fn append(&self, ctx: &TenantCtx, records: &[Record]) -> Result<(), Error> {
        self.check(ctx, records)?;
        self.locked().extend(stored(records));
        Ok(())
    }

    async fn append_in(&self, tx: &mut TenantTx, records: &[Record]) -> Result<(), Error> {
        self.check(tx.ctx(), records)?;
        let (store, entries) = (self.clone(), stored(records));
        tx.after_commit(move || store.locked().extend(entries));
        Ok(())
    }

    async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Option<Entry>, Error> {
        let mine = |entry: &&Entry| entry.tenant == ctx.tenant() && entry.id == id;
        Ok(self.locked().iter().find(mine).cloned())
    }

    async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error> {
        let (from, to) = query.bounds(ctx.tenant())?;
        let within = |entry: &&Entry| {
            let id = entry.id.as_uuid();
            entry.tenant == ctx.tenant() && id >= from && id < to && matches(query, entry)
        };
        let mut entries: Vec<Entry> = self.locked().iter().filter(within).cloned().collect();
        entries.sort_by_key(|entry| entry.id);
        if query.order == Order::NewestFirst {
            entries.reverse();
        }
        entries.truncate(usize::from(query.page_size()) + 1);
        Ok(query.page(ctx.tenant(), entries))
    }
}

fn matches(query: &AuditQuery, entry: &Entry) -> bool {
    let actor = query.actor.as_ref().map(ActorFilter::columns);
    let resource = |filter: &ResourceFilter| match filter {
        ResourceFilter::Exact(target) => {
            entry.resource == resource_of(std::slice::from_ref(target))
        }
        ResourceFilter::Kind(kind) => entry.targets.first().is_some_and(|t| t.kind == *kind),
    };
    let action = |filter: &ActionFilter| match filter {
        ActionFilter::Exact(action) => entry.action == action.as_str(),
        ActionFilter::Prefix(prefix) => entry.action.starts_with(prefix.as_str()),
    };
    actor.is_none_or(|(kind, id)| entry.actor.kind == kind && entry.actor.id == id)
        && query.action.as_ref().is_none_or(action)
        && query.resource.as_ref().is_none_or(resource)
        && query
            .target
            .as_ref()
            .is_none_or(|target| entry.targets.contains(target))
        && query
            .outcome
            .is_none_or(|outcome: Outcome| entry.outcome == outcome)
        && query
            .request
            .is_none_or(|request| entry.request == Some(request))
}
