use std::time::Duration;

use async_trait::async_trait;

use crate::{ApiKey, ApiKeyId, Error, NewApiKey, PermissionKey, TenantId, TenantTx};

/// The text of a new key as it is stored: what is shown of it, and its SHA-256.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredKey {
    /// The identifier.
    pub id: ApiKeyId,
    /// What is shown of it.
    pub prefix: String,
    /// The SHA-256 of its text.
    pub hash: [u8; 32],
}

/// What a key is replaced by, and when it ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replacement {
    /// The new key.
    pub stored: StoredKey,
    /// For how long the new one works.
    pub valid_for: Duration,
    /// For how long the old one still works.
    pub overlap: Duration,
}

/// What a key opens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenedKey {
    /// Whose key it is.
    pub tenant: TenantId,
    /// Which key.
    pub id: ApiKeyId,
    /// What it may do.
    pub permissions: Vec<PermissionKey>,
    /// Whether it can be used.
    pub state: KeyState,
}

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyState {
    /// It can.
    Usable,
    /// Its time is over.
    Expired,
    /// Whoever made it is no longer an active member.
    MakerGone,
}

/// Stores API keys.
///
/// # Contract
/// Only the SHA-256 of a key is stored. A revoked key is not found by the next
/// [`open`](Self::open). Rotating is a compare-and-set: a key is replaced once.
///
/// # Concurrency
/// Of any number that rotate one key, one succeeds; the limit on a tenant's keys holds.
/// [`open`](Self::open) notes the use of a key at most once a minute.
///
/// # Errors and retry
/// As [`Error::retry`] says.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Honest about being Postgres-shaped: test it on a real database, by
/// `testing::conformance::api_key_store`.
#[async_trait]
pub trait ApiKeyStore: Send + Sync + 'static {
    /// Stores a key; [`Limit`](crate::ErrorKind::Limit) if the tenant has `most` usable ones.
    async fn create_in(
        &self,
        tx: &mut TenantTx,
        new: &NewApiKey,
        stored: &StoredKey,
        most: u64,
    ) -> Result<(), Error>;
    /// Replaces a usable key that was not replaced yet; `false` if there is none.
    /// [`Limit`](crate::ErrorKind::Limit) if `most` replaced ones still work.
    async fn rotate_in(
        &self,
        tx: &mut TenantTx,
        old: ApiKeyId,
        replacement: &Replacement,
        most: u64,
    ) -> Result<bool, Error>;
    /// Ends a key now; `false` if there is none that is not revoked.
    async fn revoke_in(&self, tx: &mut TenantTx, id: ApiKeyId) -> Result<bool, Error>;
    /// A key of the transaction's tenant.
    async fn get_in(&self, tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>, Error>;
    /// The newest keys, at most `limit`.
    async fn list_in(&self, tx: &mut TenantTx, limit: u16) -> Result<Vec<ApiKey>, Error>;
    /// What the key with this hash opens, and notes that it was used.
    async fn open(&self, hash: &[u8; 32]) -> Result<Option<OpenedKey>, Error>;
}
