//! The keys that seal, and how they are stored.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenancy_core::TenantId;
use zeroize::Zeroizing;

use super::canonical::Canonical;
use crate::Error;

tenancy_core::uuid_id! {
    /// Identifies a data key of a tenant; every envelope names the one that sealed it.
    pub struct KeyId;
}

/// A tenant's data key, in the clear: wiped when dropped, never shown, cloned or serialised.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if there is none.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// Takes 32 bytes over, as a key store gives them.
    ///
    /// # Errors
    /// [`Unreadable`](crate::ErrorKind::Unreadable) if it is not 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        let key: &[u8; 32] = bytes
            .try_into()
            .map_err(|_| Error::unreadable("data_key_invalid", "a data key is not 32 bytes"))?;
        Ok(Self(Zeroizing::new(*key)))
    }

    /// The bytes. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(***)")
    }
}

/// What a wrapped data key is bound to: it must not unwrap for another tenant or under another id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct WrapContext {
    /// Whose key it is.
    pub tenant: TenantId,
    /// Which key it is.
    pub key: KeyId,
}

impl WrapContext {
    /// Binds a data key to its tenant and its id.
    pub fn new(tenant: TenantId, key: KeyId) -> Self {
        Self { tenant, key }
    }

    /// The bytes to authenticate: each part with its length in front.
    pub fn to_bytes(&self) -> Vec<u8> {
        Canonical::new(b"tenancy-secrets/data-key")
            .part(self.tenant.as_uuid().as_bytes())
            .part(self.key.as_uuid().as_bytes())
            .finish()
    }
}

/// A data key as it is stored: wrapped, with the name of the key that wrapped it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WrappedKey {
    /// Which key-encryption key wrapped it, such as `2026-a`.
    pub kek_id: String,
    /// What that key made of it.
    pub bytes: Vec<u8>,
}

impl WrappedKey {
    /// Puts a wrapped key together.
    pub fn new(kek_id: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            kek_id: kek_id.into(),
            bytes,
        }
    }
}

/// Whether a data key may seal, only open, or nothing any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyState {
    /// Made, and not yet in use.
    Pending,
    /// Seals and opens; a tenant has one.
    Active,
    /// Opens what it sealed before.
    DecryptOnly,
    /// Gone, with everything it had sealed.
    Destroyed,
}

impl KeyState {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::DecryptOnly => "decrypt_only",
            Self::Destroyed => "destroyed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Active,
            Self::DecryptOnly,
            Self::Destroyed,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// A row of `tenant_data_keys`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredKey {
    /// Which key it is.
    pub id: KeyId,
    /// What it may be used for.
    pub state: KeyState,
    /// The wrapped key; `None` once it is destroyed.
    pub wrapped: Option<WrappedKey>,
}

impl StoredKey {
    /// A key in a state.
    pub fn new(id: KeyId, state: KeyState, wrapped: Option<WrappedKey>) -> Self {
        Self { id, state, wrapped }
    }
}

/// Random bytes from the operating system; its failure is an error, never weak bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| {
        let message = "the operating system gives no randomness";
        Error::new(
            crate::ErrorKind::Unavailable,
            "randomness_unavailable",
            message,
        )
    })?;
    Ok(bytes)
}
