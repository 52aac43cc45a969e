//! A store in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::Utc;
use tenancy_core::{AuditSink as _, Event, TenantCtx, TenantId, testing::MemoryAudit};

use crate::{
    ConnectionId, Error, KeyId, KeyState, SecretId, SecretMeta, SecretPath, SecretQuery,
    SecretStore, SecretWrite, StoredKey, StoredSecret, Written,
};

/// A [`SecretStore`] in memory. Events go to a [`MemoryAudit`] when a change is stored.
#[derive(Clone, Debug, Default)]
pub struct MemorySecretStore {
    tables: Arc<Mutex<Tables>>,
    audit: MemoryAudit,
}

#[derive(Debug, Default)]
struct Tables {
    keys: BTreeMap<(TenantId, KeyId), StoredKey>,
    rows: BTreeMap<(TenantId, SecretId), (StoredSecret, Option<ConnectionId>)>,
}

impl MemorySecretStore {
    /// An empty store that records in `audit`.
    pub fn new(audit: MemoryAudit) -> Self {
        Self {
            tables: Arc::default(),
            audit,
        }
    }

    /// Retires the tenant's active key and makes another one active, as a rotation does.
    pub fn promote(&self, ctx: &TenantCtx, key: StoredKey) {
        let mut tables = self.tables();
        let mine = tables
            .keys
            .iter_mut()
            .filter(|((tenant, _), _)| *tenant == ctx.tenant());
        for (_, old) in mine.filter(|(_, old)| old.state == KeyState::Active) {
            old.state = KeyState::DecryptOnly;
        }
        tables.keys.insert((ctx.tenant(), key.id), key);
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, ctx: &TenantCtx, write: &SecretWrite) -> Written {
        let mut tables = self.tables();
        let key = tables.keys.get(&(ctx.tenant(), write.envelope.key()));
        if key.is_none_or(|key| key.state != KeyState::Active) {
            return Written::KeyRetired;
        }
        let id = (ctx.tenant(), write.id);
        let found = tables.rows.get(&id);
        let fits = match found {
            Some((row, _)) => row.generation == write.replaces && row.meta.path == write.path,
            None => write.replaces == 0 && !tables.has_path(ctx.tenant(), &write.path),
        };
        if !fits {
            return Written::Stale;
        }
        let now = Utc::now();
        let (created_by, created_at) = found.map_or((ctx.user(), now), |(row, _)| {
            (row.meta.created_by, row.meta.created_at)
        });
        let meta = SecretMeta {
            id: write.id,
            path: write.path.clone(),
            version: write.version,
            created_by,
            created_at,
            updated_at: now,
        };
        let row = StoredSecret::new(meta, write.envelope.clone(), write.replaces + 1);
        tables.rows.insert(id, (row, write.connection));
        Written::Done
    }
}

impl Tables {
    fn has_path(&self, tenant: TenantId, path: &SecretPath) -> bool {
        self.of(tenant).any(|(row, _)| row.meta.path == *path)
    }

    fn of(&self, tenant: TenantId) -> impl Iterator<Item = &(StoredSecret, Option<ConnectionId>)> {
        let mine = self
            .rows
            .iter()
            .filter(move |((owner, _), _)| *owner == tenant);
        mine.map(|(_, row)| row)
    }

    fn visible(&self, tenant: TenantId) -> impl Iterator<Item = &StoredSecret> {
        self.of(tenant)
            .filter(|(_, connection)| connection.is_none())
            .map(|(row, _)| row)
    }
}

#[async_trait]
impl SecretStore for MemorySecretStore {
    async fn active_key(&self, ctx: &TenantCtx) -> Result<Option<StoredKey>, Error> {
        let tables = self.tables();
        let mine = tables
            .keys
            .iter()
            .filter(|((tenant, _), _)| *tenant == ctx.tenant());
        let mut active = mine.filter(|(_, key)| key.state == KeyState::Active);
        Ok(active.next().map(|(_, key)| key.clone()))
    }

    async fn key(&self, ctx: &TenantCtx, id: KeyId) -> Result<Option<StoredKey>, Error> {
        Ok(self.tables().keys.get(&(ctx.tenant(), id)).cloned())
    }

    async fn install_key(&self, ctx: &TenantCtx, key: &StoredKey) -> Result<StoredKey, Error> {
        let mut tables = self.tables();
        let active = tables
            .keys
            .iter()
            .find(|((tenant, _), key)| *tenant == ctx.tenant() && key.state == KeyState::Active);
        if let Some((_, active)) = active {
            return Ok(active.clone());
        }
        tables.keys.insert((ctx.tenant(), key.id), key.clone());
        Ok(key.clone())
    }

    async fn get(&self, ctx: &TenantCtx, id: SecretId) -> Result<Option<StoredSecret>, Error> {
        Ok(self
            .tables()
            .visible(ctx.tenant())
            .find(|row| row.meta.id == id)
            .cloned())
    }

    async fn find(
        &self,
        ctx: &TenantCtx,
        path: &SecretPath,
    ) -> Result<Option<StoredSecret>, Error> {
        Ok(self
            .tables()
            .visible(ctx.tenant())
            .find(|row| row.meta.path == *path)
            .cloned())
    }

    async fn list(&self, ctx: &TenantCtx, query: &SecretQuery) -> Result<Vec<SecretMeta>, Error> {
        let wanted = |row: &&StoredSecret| {
            query
                .provider
                .as_ref()
                .is_none_or(|provider| row.meta.path.provider() == provider)
                && query.after.is_none_or(|after| row.meta.id > after)
        };
        let tables = self.tables();
        let page = tables
            .visible(ctx.tenant())
            .filter(wanted)
            .take(query.page_size().into());
        Ok(page.map(|row| row.meta.clone()).collect())
    }

    async fn put(
        &self,
        ctx: &TenantCtx,
        write: &SecretWrite,
        event: Event,
    ) -> Result<Written, Error> {
        let written = self.write(ctx, write);
        if written == Written::Done {
            self.audit.record(ctx, event).await?;
        }
        Ok(written)
    }

    async fn delete(&self, ctx: &TenantCtx, id: SecretId, event: Event) -> Result<bool, Error> {
        let known = self.get(ctx, id).await?.is_some();
        if known {
            self.tables().rows.remove(&(ctx.tenant(), id));
            self.audit.record(ctx, event).await?;
        }
        Ok(known)
    }
}
