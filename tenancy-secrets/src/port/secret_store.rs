use async_trait::async_trait;
use tenancy_core::{Event, TenantCtx};

use crate::{
    Error, KeyId, SecretId, SecretMeta, SecretPath, SecretQuery, SecretWrite, StoredKey,
    StoredSecret, Written,
};

/// Keeps sealed secrets and wrapped keys. It never sees a plaintext or a key in the clear.
///
/// # Contract
/// Everything belongs to the context's tenant. A change and its audit event are stored in one
/// transaction. [`get`](Self::get), [`find`](Self::find), [`list`](Self::list) and
/// [`delete`](Self::delete) know nothing of the tokens of connections. A write under a key that is
/// not active is [`Written::KeyRetired`] and stores nothing, at whatever moment the key is retired.
///
/// # Concurrency
/// A write is a compare-and-set on the row's generation: of two, one is [`Written::Stale`]. Of two
/// first keys, one stays, and both callers are given it.
///
/// # Errors and retry
/// As [`Error::retry`] says.
///
/// # Cancellation
/// A dropped call has stored all of it or nothing.
///
/// # For implementors
/// `tenancy_secrets::testing::conformance::secret_store` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// The key that seals for the tenant now; `None` before its first secret.
    async fn active_key(&self, ctx: &TenantCtx) -> Result<Option<StoredKey>, Error>;

    /// A key in whatever state.
    async fn key(&self, ctx: &TenantCtx, id: KeyId) -> Result<Option<StoredKey>, Error>;

    /// Stores the tenant's first key; answers with the one that is active afterwards.
    async fn install_key(&self, ctx: &TenantCtx, key: &StoredKey) -> Result<StoredKey, Error>;

    /// A secret by its id.
    async fn get(&self, ctx: &TenantCtx, id: SecretId) -> Result<Option<StoredSecret>, Error>;

    /// A secret by its path.
    async fn find(&self, ctx: &TenantCtx, path: &SecretPath)
    -> Result<Option<StoredSecret>, Error>;

    /// A page of what may be shown.
    async fn list(&self, ctx: &TenantCtx, query: &SecretQuery) -> Result<Vec<SecretMeta>, Error>;

    /// Stores a sealed value, and the event if it was stored.
    async fn put(
        &self,
        ctx: &TenantCtx,
        write: &SecretWrite,
        event: Event,
    ) -> Result<Written, Error>;

    /// Deletes a secret, and stores the event if there was one; `false` if there was none.
    async fn delete(&self, ctx: &TenantCtx, id: SecretId, event: Event) -> Result<bool, Error>;
}
