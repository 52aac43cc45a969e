//! The bits of permissions, as far as this process has seen them.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use tenancy_core::{PermissionKey, TenantCtx};
use tokio::{sync::Mutex, time::Instant};

use crate::{Error, PolicyStore};

/// Maps keys to bits. A permission keeps its bit for ever, so what was read once stays right; only
/// a key that is not known yet is asked for, at most once in each bound.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    bits: RwLock<HashMap<String, u16>>,
    asked: Mutex<Option<Instant>>,
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
        let now = Instant::now();
        if asked.is_some_and(|before| now < before + bound) {
            return Ok(None);
        }
        let entries = store.registry(ctx).await?;
        let bits = entries
            .into_iter()
            .map(|entry| (entry.key.into(), entry.bit))
            .collect();
        *self.bits.write().unwrap_or_else(PoisonError::into_inner) = bits;
        *asked = Some(now);
        Ok(self.known(permission))
    }

    fn known(&self, permission: &PermissionKey) -> Option<u16> {
        let bits = self.bits.read().unwrap_or_else(PoisonError::into_inner);
        bits.get(permission.as_str()).copied()
    }
}
