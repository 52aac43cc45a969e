//! The vault.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Credential, CredentialId, CredentialSource, Event,
    SecretText, TenantCtx, TenantDb,
};

use super::{
    keys::{KEY_MISSING, Keys},
    perm,
    sealer::Sealer,
};
use crate::{
    Aead, AesGcm, Binding, Error, ErrorKind, KeyWrap, PgSecretStore, PutMode, Secret, SecretId,
    SecretMeta, SecretPath, SecretQuery, SecretStore, SecretWrite, StoredSecret, Written,
};

/// How often a write is tried again when the row or the key moves under it.
const ATTEMPTS: u32 = 8;

/// Keeps a tenant's integration secrets, sealed.
///
/// Values are sealed and opened in this process; the database sees envelopes only. People and host
/// code use [`put`](Self::put), [`get`](Self::get), [`list`](Self::list) and
/// [`delete`](Self::delete), which ask for `secrets.read` or `secrets.write` and leave an audit
/// entry. The parts that call out use [`CredentialSource`], which asks for nothing: whoever may
/// make the call may use its key without seeing it.
///
/// A clone costs one reference count.
#[derive(Clone)]
pub struct SecretVault(Arc<Inner>);

struct Inner {
    store: Arc<dyn SecretStore>,
    sealer: Sealer,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
}

/// Which value of which secret was stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// The secret.
    pub id: SecretId,
    /// The value, counted from 1.
    pub version: i64,
}

impl SecretVault {
    /// A vault on Postgres, with AES-256-GCM by the `aes-gcm` crate.
    pub fn new(
        db: TenantDb,
        keys: impl Into<Arc<dyn KeyWrap>>,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        let store = Arc::new(PgSecretStore::new(db, audit.clone()));
        Self::with_parts(
            store,
            keys.into(),
            Arc::new(AesGcm::new()),
            authorizer,
            audit,
        )
    }

    /// A vault of other parts.
    pub fn with_parts(
        store: Arc<dyn SecretStore>,
        keys: Arc<dyn KeyWrap>,
        aead: Arc<dyn Aead>,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        let sealer = Sealer::new(Keys::new(store.clone(), keys), aead);
        Self(Arc::new(Inner {
            store,
            sealer,
            authorizer,
            audit,
        }))
    }

    /// Stores a value; the row and its audit entry are one transaction.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `secrets.write`;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an empty value,
    /// [`Limit`](ErrorKind::Limit) for one over 64 KiB;
    /// [`Conflict`](ErrorKind::Conflict) if the mode does not allow what is there.
    #[tracing::instrument(level = "debug", skip_all, fields(tenant = %ctx.tenant()))]
    pub async fn put(
        &self,
        ctx: &TenantCtx,
        path: &SecretPath,
        value: SecretText,
        mode: PutMode,
    ) -> Result<Stored, Error> {
        self.0
            .authorizer
            .require(ctx, perm::SecretsWrite::get())
            .await?;
        if value.expose().is_empty() {
            return Err(Error::invalid("secret_empty", "the secret is empty"));
        }
        for _ in 0..ATTEMPTS {
            let found = self.0.store.find(ctx, path).await?;
            check_mode(mode, found.as_ref())?;
            let (id, version, replaces) = match &found {
                Some(row) => (row.meta.id, row.meta.version + 1, row.generation),
                None => (SecretId::new(), 1, 0),
            };
            let binding = binding(ctx, id, path, version);
            let envelope = self.0.sealer.seal(ctx, &binding, &value).await?;
            let write = SecretWrite::new(id, path.clone(), envelope, version, replaces);
            let event = event("secret.written", id, path).meta("version", version);
            match self.0.store.put(ctx, &write, event).await? {
                Written::Done => return Ok(Stored { id, version }),
                Written::KeyRetired => self.0.sealer.key_retired(ctx.tenant()),
                Written::Stale => {}
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "secret_busy",
            "others keep writing this secret",
        ))
    }

    /// Opens a secret by its id.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `secrets.read`; [`NotFound`](ErrorKind::NotFound);
    /// [`Unreadable`](ErrorKind::Unreadable) if the row was damaged or moved.
    pub async fn get(&self, ctx: &TenantCtx, id: SecretId) -> Result<Secret, Error> {
        self.0
            .authorizer
            .require(ctx, perm::SecretsRead::get())
            .await?;
        let (meta, value) = self.open(ctx, id).await?;
        self.reveal(ctx, meta, value).await
    }

    /// Opens a secret by its path.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_at(&self, ctx: &TenantCtx, path: &SecretPath) -> Result<Secret, Error> {
        self.0
            .authorizer
            .require(ctx, perm::SecretsRead::get())
            .await?;
        let row = self.0.store.find(ctx, path).await?.ok_or_else(unknown)?;
        let (meta, value) = self.open(ctx, row.meta.id).await?;
        self.reveal(ctx, meta, value).await
    }

    /// A page of what may be shown of the tenant's secrets; no value is opened.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `secrets.read`.
    pub async fn list(
        &self,
        ctx: &TenantCtx,
        query: &SecretQuery,
    ) -> Result<Vec<SecretMeta>, Error> {
        self.0
            .authorizer
            .require(ctx, perm::SecretsRead::get())
            .await?;
        self.0.store.list(ctx, query).await
    }

    /// Deletes a secret with all its values.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `secrets.write`; [`NotFound`](ErrorKind::NotFound).
    pub async fn delete(&self, ctx: &TenantCtx, id: SecretId) -> Result<(), Error> {
        self.0
            .authorizer
            .require(ctx, perm::SecretsWrite::get())
            .await?;
        let event = Event::new("secret.deleted").target("secret", id);
        let deleted = self.0.store.delete(ctx, id, event).await?;
        deleted.then_some(()).ok_or_else(unknown)
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    /// Hands a value to somebody who may see it, after that was recorded.
    async fn reveal(
        &self,
        ctx: &TenantCtx,
        meta: SecretMeta,
        value: SecretText,
    ) -> Result<Secret, Error> {
        let event = event("secret.read", meta.id, &meta.path).meta("version", meta.version);
        self.0.audit.record(ctx, event).await?;
        Ok(Secret { meta, value })
    }

    async fn open(&self, ctx: &TenantCtx, id: SecretId) -> Result<(SecretMeta, SecretText), Error> {
        let row = self.0.store.get(ctx, id).await?.ok_or_else(unknown)?;
        match self.open_row(ctx, &row).await {
            // Sealed anew and its old key destroyed, all between two reads of ours.
            Err(error) if error.code() == KEY_MISSING => {
                let row = self.0.store.get(ctx, id).await?.ok_or_else(unknown)?;
                Ok((row.meta.clone(), self.open_row(ctx, &row).await?))
            }
            opened => Ok((row.meta.clone(), opened?)),
        }
    }

    async fn open_row(&self, ctx: &TenantCtx, row: &StoredSecret) -> Result<SecretText, Error> {
        self.0
            .sealer
            .open(ctx, &row.binding(ctx.tenant()), &row.envelope)
            .await
    }
}

#[async_trait]
impl CredentialSource for SecretVault {
    async fn credential(
        &self,
        ctx: &TenantCtx,
        id: CredentialId,
    ) -> Result<Credential, tenancy_core::Error> {
        let (meta, value) = self.open(ctx, SecretId::from_uuid(id.as_uuid())).await?;
        Ok(Credential::new(value, meta.version))
    }

    async fn renewed(
        &self,
        ctx: &TenantCtx,
        id: CredentialId,
        _: i64,
    ) -> Result<Credential, tenancy_core::Error> {
        // A key can't renew itself; somebody may have put a new one meanwhile.
        self.credential(ctx, id).await
    }
}

fn check_mode(mode: PutMode, found: Option<&StoredSecret>) -> Result<(), Error> {
    let conflict = |code, message: &str| Err(Error::new(ErrorKind::Conflict, code, message));
    match (mode, found) {
        (PutMode::Create, Some(_)) => {
            conflict("secret_exists", "there is a secret of this name already")
        }
        (PutMode::Replace(_), None) => Err(unknown()),
        (PutMode::Replace(version), Some(row)) if row.meta.version != version => {
            conflict("secret_moved_on", "the secret has had another value since")
        }
        _ => Ok(()),
    }
}

fn binding(ctx: &TenantCtx, id: SecretId, path: &SecretPath, version: i64) -> Binding {
    let (provider, field) = (path.provider().clone(), path.field().clone());
    Binding::new(ctx.tenant(), provider, id.as_uuid(), field, version)
}

fn event(action: &str, id: SecretId, path: &SecretPath) -> Event {
    Event::new(action)
        .target("secret", id)
        .meta("provider", path.provider().as_str())
        .meta("name", path.name())
        .meta("field", path.field().as_str())
}

fn unknown() -> Error {
    Error::not_found("secret_unknown", "there is no such secret")
}

impl fmt::Debug for SecretVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretVault").finish_non_exhaustive()
    }
}
