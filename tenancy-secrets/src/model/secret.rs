//! Stored secrets, and what is said about them without opening them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenancy_core::{SecretText, TenantId, UserId};

use super::{
    envelope::{Binding, Envelope},
    name::{ConnectionId, SecretId, SecretPath},
};

/// What may be shown of a secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SecretMeta {
    /// Which secret.
    pub id: SecretId,
    /// Where it is kept.
    pub path: SecretPath,
    /// How many values it has had.
    pub version: i64,
    /// Who stored it first; `None` for a service.
    pub created_by: Option<UserId>,
    /// When it was stored first.
    pub created_at: DateTime<Utc>,
    /// When its value was last replaced.
    pub updated_at: DateTime<Utc>,
}

/// An opened secret.
#[derive(Debug)]
#[non_exhaustive]
pub struct Secret {
    /// What may be shown.
    pub meta: SecretMeta,
    /// What may not.
    pub value: SecretText,
}

/// A row of `integration_secrets`, as a [`SecretStore`](crate::SecretStore) gives it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredSecret {
    /// What may be shown.
    pub meta: SecretMeta,
    /// The sealed value.
    pub envelope: Envelope,
    /// Counts every rewrite of the row: what a writer has to show.
    pub generation: i64,
}

impl StoredSecret {
    /// Puts a row together.
    pub fn new(meta: SecretMeta, envelope: Envelope, generation: i64) -> Self {
        Self {
            meta,
            envelope,
            generation,
        }
    }

    pub(crate) fn binding(&self, tenant: TenantId) -> Binding {
        let SecretMeta {
            id, path, version, ..
        } = &self.meta;
        let (provider, field) = (path.provider().clone(), path.field().clone());
        Binding::new(tenant, provider, id.as_uuid(), field, *version)
    }
}

/// A sealed value on its way into the store.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SecretWrite {
    /// The row.
    pub id: SecretId,
    /// Where it is kept.
    pub path: SecretPath,
    /// Set for the tokens of a connection.
    pub connection: Option<ConnectionId>,
    /// The sealed value; its key is the row's key.
    pub envelope: Envelope,
    /// Which value of the secret it is.
    pub version: i64,
    /// The generation that is replaced; 0 for a new row.
    pub replaces: i64,
}

impl SecretWrite {
    /// A value for a row.
    pub fn new(
        id: SecretId,
        path: SecretPath,
        envelope: Envelope,
        version: i64,
        replaces: i64,
    ) -> Self {
        Self {
            id,
            path,
            connection: None,
            envelope,
            version,
            replaces,
        }
    }

    pub(crate) fn of_connection(mut self, connection: ConnectionId) -> Self {
        self.connection = Some(connection);
        self
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Written {
    /// It is stored.
    Done,
    /// Its key may no longer seal: seal it again with the key that is active now.
    KeyRetired,
    /// The row has moved on, or the path is taken: look again.
    Stale,
}

/// Which secrets a list shows, in the order of their ids.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SecretQuery {
    /// Of this provider only.
    pub provider: Option<super::name::ProviderKey>,
    /// After this one.
    pub after: Option<SecretId>,
    /// At most this many; 1 to 200, 100 by default.
    pub limit: Option<u16>,
}

impl SecretQuery {
    /// Of one provider only.
    pub fn with_provider(mut self, provider: super::name::ProviderKey) -> Self {
        self.provider = Some(provider);
        self
    }

    /// The page after this secret.
    pub fn with_after(mut self, after: SecretId) -> Self {
        self.after = Some(after);
        self
    }

    /// A page of this size.
    pub fn with_limit(mut self, limit: u16) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The size of the page, within its bounds.
    pub fn page_size(&self) -> u16 {
        self.limit.unwrap_or(100).clamp(1, 200)
    }
}

/// How a value is put.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum PutMode {
    /// Only if there is none: else a conflict.
    Create,
    /// Only in place of this version: else a conflict.
    Replace(i64),
    /// Whether there is one or not; the last writer wins.
    #[default]
    Upsert,
}
