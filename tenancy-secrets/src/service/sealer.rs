//! Sealing and opening with the tenant's keys: what the vault and the broker share.

use std::sync::Arc;

use tenancy_core::{SecretText, TenantCtx, TenantId};
use uuid::Uuid;
use zeroize::{Zeroize as _, Zeroizing};

use super::{keys::Keys, record};
use crate::{Aead, Binding, Envelope, Error, model::Place};

#[derive(Clone)]
pub(crate) struct Sealer {
    keys: Arc<Keys>,
    aead: Arc<dyn Aead>,
}

impl Sealer {
    pub(crate) fn new(keys: Keys, aead: Arc<dyn Aead>) -> Self {
        Self {
            keys: Arc::new(keys),
            aead,
        }
    }

    /// Seals under the tenant's active key.
    pub(crate) async fn seal(
        &self,
        ctx: &TenantCtx,
        binding: &Binding,
        value: &SecretText,
    ) -> Result<Envelope, Error> {
        self.seal_bytes(ctx, binding, value.expose().as_bytes())
            .await
    }

    pub(crate) async fn seal_bytes(
        &self,
        ctx: &TenantCtx,
        place: &dyn Place,
        bytes: &[u8],
    ) -> Result<Envelope, Error> {
        let (id, key) = self.keys.active(ctx).await?;
        record::seal(&*self.aead, (id, &key), place, bytes)
    }

    pub(crate) async fn open(
        &self,
        ctx: &TenantCtx,
        binding: &Binding,
        envelope: &Envelope,
    ) -> Result<SecretText, Error> {
        text(self.open_bytes(ctx, binding, binding.row, envelope).await?)
    }

    pub(crate) async fn open_bytes(
        &self,
        ctx: &TenantCtx,
        place: &dyn Place,
        row: Uuid,
        envelope: &Envelope,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.keys.get(ctx, envelope.key()).await?;
        let opened = record::open(&*self.aead, &key, place, envelope);
        if opened.is_err() {
            metrics::counter!("tenancy_secrets_unreadable_total").increment(1);
            tracing::error!(tenant = %ctx.tenant(), %row, "a sealed secret does not open");
        }
        opened
    }

    pub(crate) fn aead(&self) -> &dyn Aead {
        &*self.aead
    }

    pub(crate) fn key_retired(&self, tenant: TenantId) {
        self.keys.forget_active(tenant);
    }
}

pub(crate) fn text(mut bytes: Zeroizing<Vec<u8>>) -> Result<SecretText, Error> {
    String::from_utf8(std::mem::take(&mut *bytes))
        .map(SecretText::new)
        .map_err(|error| {
            error.into_bytes().zeroize();
            Error::unreadable("secret_not_text", "the secret is not text")
        })
}
