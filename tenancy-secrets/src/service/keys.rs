//! Data keys, unwrapped and kept for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tenancy_core::{TenantCtx, TenantId};

use crate::{DataKey, Error, KeyId, KeyState, KeyWrap, SecretStore, StoredKey, WrapContext};

/// How long an unwrapped key is kept. A key that was destroyed elsewhere opens at most this long.
const TTL: Duration = Duration::from_mins(1);
/// How many unwrapped keys are kept.
const CAPACITY: usize = 4_096;

pub(crate) struct Keys {
    store: Arc<dyn SecretStore>,
    wrap: Arc<dyn KeyWrap>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: HashMap<(TenantId, KeyId), (Arc<DataKey>, Instant)>,
    active: HashMap<TenantId, (KeyId, Instant)>,
}

impl Keys {
    pub(crate) fn new(store: Arc<dyn SecretStore>, wrap: Arc<dyn KeyWrap>) -> Self {
        Self {
            store,
            wrap,
            cache: Mutex::default(),
        }
    }

    /// The key that seals for the tenant; its first one is made here.
    pub(crate) async fn active(&self, ctx: &TenantCtx) -> Result<(KeyId, Arc<DataKey>), Error> {
        if let Some(known) = self.cache().active(ctx.tenant()) {
            return Ok(known);
        }
        let stored = match self.store.active_key(ctx).await? {
            Some(stored) => stored,
            None => self.install(ctx).await?,
        };
        let key = self.unwrapped(ctx, &stored).await?;
        let until = Instant::now() + TTL;
        self.cache().active.insert(ctx.tenant(), (stored.id, until));
        Ok((stored.id, key))
    }

    /// A key to open with.
    pub(crate) async fn get(&self, ctx: &TenantCtx, id: KeyId) -> Result<Arc<DataKey>, Error> {
        if let Some(known) = self.cache().key(ctx.tenant(), id) {
            return Ok(known);
        }
        let stored = self.store.key(ctx, id).await?.ok_or_else(missing)?;
        self.unwrapped(ctx, &stored).await
    }

    /// Forgets which key seals: the database said that it no longer may.
    pub(crate) fn forget_active(&self, tenant: TenantId) {
        self.cache().active.remove(&tenant);
    }

    async fn install(&self, ctx: &TenantCtx) -> Result<StoredKey, Error> {
        let (id, key) = (KeyId::new(), DataKey::generate()?);
        let wrapped = self
            .wrap
            .wrap(&WrapContext::new(ctx.tenant(), id), &key)
            .await?;
        let stored = StoredKey::new(id, KeyState::Active, Some(wrapped));
        self.store.install_key(ctx, &stored).await
    }

    async fn unwrapped(&self, ctx: &TenantCtx, stored: &StoredKey) -> Result<Arc<DataKey>, Error> {
        let wrapped = stored.wrapped.as_ref().ok_or_else(missing)?;
        let context = WrapContext::new(ctx.tenant(), stored.id);
        let key = Arc::new(self.wrap.unwrap(&context, wrapped).await?);
        self.cache().keep((ctx.tenant(), stored.id), key.clone());
        Ok(key)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn active(&self, tenant: TenantId) -> Option<(KeyId, Arc<DataKey>)> {
        let (id, until) = self.active.get(&tenant)?;
        let key = (*until > Instant::now()).then(|| self.key(tenant, *id))??;
        Some((*id, key))
    }

    fn key(&self, tenant: TenantId, id: KeyId) -> Option<Arc<DataKey>> {
        let (key, until) = self.keys.get(&(tenant, id))?;
        (*until > Instant::now()).then(|| key.clone())
    }

    fn keep(&mut self, id: (TenantId, KeyId), key: Arc<DataKey>) {
        let now = Instant::now();
        if self.keys.len() >= CAPACITY {
            self.keys.retain(|_, (_, until)| *until > now);
            self.active.retain(|_, (_, until)| *until > now);
        }
        if self.keys.len() >= CAPACITY {
            // Everything is fresh: start again rather than grow. A miss costs one unwrap.
            self.keys.clear();
            self.active.clear();
        }
        self.keys.insert(id, (key, now + TTL));
    }
}

/// The code of an error that may only mean that the row was sealed anew meanwhile.
pub(crate) const KEY_MISSING: &str = "data_key_missing";

fn missing() -> Error {
    Error::unreadable(KEY_MISSING, "the data key that sealed the secret is gone")
}
