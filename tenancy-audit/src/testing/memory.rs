use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::Utc;
use tenancy_core::{TenantCtx, TenantId, TenantTx};

use crate::{
    AuditEntryId, AuditQuery, AuditStore, CountBy, Counts, Draft, Entry, Error, ErrorKind,
    Followed, Mark, Order, Page, error::code,
};

/// Keeps entries in memory. Entries of a transaction appear when it commits, and their keys are taken then.
#[derive(Clone, Debug, Default)]
pub struct MemoryAuditStore(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Entry>,
    keys: HashMap<(TenantId, [u8; 32]), (AuditEntryId, [u8; 32])>,
}

impl MemoryAuditStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every entry of every tenant, in the order they came.
    pub fn entries(&self) -> Vec<Entry> {
        self.locked().entries.clone()
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the query finds, in the order of ids.
    fn found(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Vec<Entry>, Error> {
        let (tenant, ids) = (ctx.tenant(), query.ids(ctx.tenant())?);
        let within = |entry: &&Entry| {
            entry.tenant == tenant && ids.contains(&entry.id) && query.finds(entry)
        };
        let kept = &self.locked().entries;
        let seen = query.seen().map_or(Ok(kept.len()), position)?;
        let mut found: Vec<Entry> = kept.iter().take(seen).filter(within).cloned().collect();
        found.sort_by_key(|entry| entry.id);
        Ok(found)
    }
}

impl Kept {
    /// What is to be stored of the drafts, and under which id each of them stands.
    fn check<'a>(
        &self,
        ctx: &TenantCtx,
        drafts: &'a [Draft],
    ) -> Result<(Vec<&'a Draft>, Vec<AuditEntryId>), Error> {
        let foreign = |draft: &Draft| {
            draft.tenant != ctx.tenant() || draft.actor.id != ctx.principal().actor.id()
        };
        if drafts.iter().any(foreign) {
            let message = "the entry's tenant or actor is not the context's";
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "database_privilege",
                message,
            ));
        }
        let mut keys = self.keys.clone();
        let (mut fresh, mut ids) = (Vec::new(), Vec::new());
        for draft in drafts {
            if let Some(key) = draft.key {
                let own = (draft.id, key.content_hash);
                let stands = *keys.entry((draft.tenant, key.key_hash)).or_insert(own);
                if stands.1 != key.content_hash {
                    let message = "the idempotency key was used for another event";
                    return Err(Error::new(ErrorKind::Conflict, code::KEY_REUSED, message));
                }
                ids.push(stands.0);
                if stands != own {
                    continue;
                }
            } else {
                ids.push(draft.id);
            }
            if self.entries.iter().any(|entry| entry.id == draft.id) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "already_exists",
                    "the entry is there already",
                ));
            }
            fresh.push(draft);
        }
        Ok((fresh, ids))
    }

    fn add(&mut self, drafts: Vec<Draft>) {
        for Draft { record, key } in drafts {
            if let Some(key) = key {
                let (at, stands) = ((record.tenant, key.key_hash), (record.id, key.content_hash));
                self.keys.insert(at, stands);
            }
            self.entries.push(Entry::new(record, Utc::now()));
        }
    }
}

#[async_trait]
impl AuditStore for MemoryAuditStore {
    async fn append(&self, ctx: &TenantCtx, drafts: &[Draft]) -> Result<Vec<AuditEntryId>, Error> {
        // Of two that use one key at once, the second has to find the first.
        let mut kept = self.locked();
        let (fresh, ids) = kept.check(ctx, drafts)?;
        kept.add(fresh.into_iter().cloned().collect());
        Ok(ids)
    }

    async fn append_in(
        &self,
        tx: &mut TenantTx,
        drafts: &[Draft],
    ) -> Result<Vec<AuditEntryId>, Error> {
        let (fresh, ids) = self.locked().check(tx.ctx(), drafts)?;
        let (store, fresh): (_, Vec<Draft>) = (self.clone(), fresh.into_iter().cloned().collect());
        tx.after_commit(move || store.locked().add(fresh));
        Ok(ids)
    }

    async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Option<Entry>, Error> {
        let mine = |entry: &&Entry| entry.tenant == ctx.tenant() && entry.id == id;
        Ok(self.locked().entries.iter().find(mine).cloned())
    }

    async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error> {
        let mut entries = self.found(ctx, query)?;
        if query.order == Order::NewestFirst {
            entries.reverse();
        }
        Ok(query.page(ctx.tenant(), entries, None))
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
        let mut found = self.found(ctx, &query)?;
        found.reverse();
        let most = usize::try_from(most.clamp(1, 100_000)).unwrap_or(usize::MAX);
        let more = found.len() > most;
        found.truncate(most);
        let mut groups = BTreeMap::<String, u64>::new();
        for entry in &found {
            let name = match by {
                CountBy::Action => entry.action.clone(),
                CountBy::Day => entry.occurred_at().format("%F").to_string(),
                CountBy::Total => String::new(),
                CountBy::Outcome => entry.outcome.as_str().to_owned(),
            };
            *groups.entry(name).or_default() += 1;
        }
        let mut groups: Vec<(String, u64)> = groups.into_iter().collect();
        groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        groups.truncate(1_000);
        Ok(Counts::new(found.len() as u64, more, groups))
    }

    async fn mark(&self, _: &TenantCtx) -> Result<Mark, Error> {
        Ok(Mark::new(self.locked().entries.len().to_string()))
    }

    async fn follow(&self, ctx: &TenantCtx, mark: &Mark, most: u16) -> Result<Followed, Error> {
        let (from, most) = (position(mark)?, usize::from(most.clamp(1, 1_000)));
        let kept = &self.locked().entries;
        let mine = |(_, entry): &(usize, &Entry)| entry.tenant == ctx.tenant();
        let mut found: Vec<(usize, &Entry)> =
            kept.iter().enumerate().skip(from).filter(mine).collect();
        let more = found.len() > most;
        found.truncate(most);
        let to = match found.last() {
            Some((last, _)) if more => last + 1,
            _ => kept.len(),
        };
        let entries = found.into_iter().map(|(_, entry)| entry.clone()).collect();
        Ok(Followed::new(entries, Mark::new(to.to_string()), more))
    }
}

fn position(mark: &Mark) -> Result<usize, Error> {
    mark.as_str().parse().map_err(|_| {
        let message = "the mark can't be read";
        Error::new(ErrorKind::Cursor, "audit_mark_invalid", message)
    })
}
