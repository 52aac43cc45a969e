//! The bits of permissions, as far as this process has seen them.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tenancy_core::{Permission, PermissionKey, TenantCtx};
use tokio::{sync::Mutex, time::Instant};

use crate::{Error, PolicyStore};

/// Its keys are those that code registered: nobody can fill it with keys that collide.
type Bits = HashMap<String, u16, foldhash::fast::RandomState>;

/// Maps keys to bits. A permission keeps its bit for ever, so what was read once stays right; only
/// a key that is not known yet is asked for, at most once in each bound.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Tells this registry from others of the process in what is noted about permissions.
    id: u64,
    bits: RwLock<Bits>,
    asked: Mutex<Option<Instant>>,
    /// Somebody asked for a key that is not known, where he could not wait for the store.
    missed: AtomicBool,
}

impl Default for Registry {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            bits: RwLock::default(),
            asked: Mutex::default(),
            missed: AtomicBool::new(true),
        }
    }
}

impl Registry {
    pub(crate) async fn bit(
        &self,
        store: &dyn PolicyStore,
        ctx: &TenantCtx,
        permission: &PermissionKey,
        bound: Duration,
    ) -> Result<Option<u16>, Error> {
        if let Some(bit) = self.known(permission) {
            return Ok(Some(bit));
        }
        let mut asked = self.asked.lock().await;
        if let Some(bit) = self.known(permission) {
            return Ok(Some(bit));
        }
        self.read(store, ctx, bound, &mut asked).await?;
        Ok(self.known(permission))
    }

    /// Reads the registry if nobody did, or if a key was asked for that was not in it.
    pub(crate) async fn prepare(
        &self,
        store: &dyn PolicyStore,
        ctx: &TenantCtx,
        bound: Duration,
    ) -> Result<(), Error> {
        if !self.missed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut asked = self.asked.lock().await;
        self.read(store, ctx, bound, &mut asked).await
    }

    async fn read(
        &self,
        store: &dyn PolicyStore,
        ctx: &TenantCtx,
        bound: Duration,
        asked: &mut Option<Instant>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        if asked.is_some_and(|before| now < before + bound) {
            return Ok(());
        }
        let entries = store.registry(ctx).await?;
        let bits = entries
            .into_iter()
            .map(|entry| (entry.key.into(), entry.bit))
            .collect();
        *self.bits.write().unwrap_or_else(PoisonError::into_inner) = bits;
        self.missed.store(false, Ordering::Relaxed);
        *asked = Some(now);
        Ok(())
    }

    pub(crate) fn known(&self, permission: &PermissionKey) -> Option<u16> {
        let bit = self.bits().get(permission.as_str()).copied();
        if bit.is_none() {
            self.missed.store(true, Ordering::Relaxed);
        }
        bit
    }

    /// The same for a permission as a type, which remembers what was found.
    pub(crate) fn known_type<P: Permission>(&self) -> Option<u16> {
        let note = P::note();
        if let Some(noted) = note.map(tenancy_core::PermissionNote::get)
            && noted >> 16 == self.id
        {
            return u16::try_from(noted & 0xffff).ok();
        }
        let bit = self.known(&P::KEY)?;
        if let Some(note) = note {
            note.set(self.id << 16 | u64::from(bit));
        }
        Some(bit)
    }

    /// The keys whose bits are asked for, sorted.
    pub(crate) fn keys(&self, holds: impl Fn(u16) -> bool) -> Result<Vec<PermissionKey>, Error> {
        let bits = self.bits();
        let held = bits.iter().filter(|(_, bit)| holds(**bit));
        let mut keys = held
            .map(|(key, _)| PermissionKey::parse(key.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        keys.sort_unstable();
        Ok(keys)
    }

    fn bits(&self) -> RwLockReadGuard<'_, Bits> {
        self.bits.read().unwrap_or_else(PoisonError::into_inner)
    }
}
