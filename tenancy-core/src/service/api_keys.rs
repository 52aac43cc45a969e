//! Keys for a tenant's own programs.

use std::{sync::Arc, time::Duration};

use crate::{
    ApiKey, ApiKeyId, ApiKeyStore, AuditSink, Authorizer, AuthorizerExt as _, Error, ErrorKind,
    Event, IssuedApiKey, KeyEnvironment, Limits, NewApiKey, PermissionKey, PgStore, Replacement,
    StoredKey, TenantCtx, TenantDb, TenantTx, limit, model::KeyText, perm,
};

const MAX_VALIDITY: Duration = Duration::from_hours(2 * 365 * 24);
const MAX_OVERLAP: Duration = Duration::from_hours(30 * 24);
const MAX_PERMISSIONS: usize = 50;

/// Makes, lists, rotates and revokes the API keys of a tenant.
///
/// A key has 32 random bytes, is shown once, and only its SHA-256 is stored. It belongs to one
/// tenant, does what it was made for as long as its maker may do that himself, and works until it
/// expires, is revoked, or its maker is no longer an active member. Each takes effect with the next
/// request. A key can't make keys.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{ApiKeys, AuditSink, Authorizer, Error, NewApiKey, PermissionKey, TenantCtx, TenantDb, TenantName};
/// # async fn run(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>,
/// #     ctx: TenantCtx) -> Result<(), Error> {
/// let keys = ApiKeys::new(db, authorizer, audit);
/// let name = TenantName::parse("nightly import")?;
/// let read = PermissionKey::from_static("templates.read");
/// let issued = keys.create(&ctx, NewApiKey::new(name, vec![read])).await?;
/// // Show this once; it is nowhere any more.
/// println!("{}", issued.secret.expose());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ApiKeys {
    db: TenantDb,
    store: Arc<dyn ApiKeyStore>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    limits: Limits,
    environment: KeyEnvironment,
}

impl ApiKeys {
    /// Puts the service together, on Postgres, for the environment `live`.
    pub fn new(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>) -> Self {
        let store = Arc::new(PgStore::new(db.clone()));
        Self {
            limits: Limits::new(db.clone()),
            db,
            store,
            authorizer,
            audit,
            environment: KeyEnvironment::default(),
        }
    }

    /// Names the environment that keys are made for.
    pub fn with_environment(mut self, environment: KeyEnvironment) -> Self {
        self.environment = environment;
        self
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `api_keys.manage`, or for a permission that the maker
    /// does not hold himself; [`Limit`](ErrorKind::Limit) at the tenant's
    /// limit, [`limit::API_KEYS`];
    /// [`InvalidInput`](ErrorKind::InvalidInput) without permissions, with more than 50, for less
    /// than a minute or more than 2 years, or by a principal that is no user.
    pub async fn create(&self, ctx: &TenantCtx, new: NewApiKey) -> Result<IssuedApiKey, Error> {
        check_maker(ctx)?;
        check_validity(new.valid_for)?;
        if new.permissions.is_empty() || new.permissions.len() > MAX_PERMISSIONS {
            let message = format!("a key has 1 to {MAX_PERMISSIONS} permissions");
            return Err(Error::invalid("api_key_permissions", message));
        }
        let (text, stored) = self.generate()?;
        let mut tx = self.manage(ctx).await?;
        self.holds(&mut tx, &new.permissions).await?;
        let most = self.limits.get_in(&mut tx, &limit::API_KEYS).await?;
        self.store.create_in(&mut tx, &new, &stored, most).await?;
        let key = self.get_in(&mut tx, stored.id).await?;
        let event = Event::new("api_key.created").meta("permissions", texts(&key.permissions));
        self.finish(
            tx,
            event
                .target("api_key", key.id)
                .meta("prefix", key.prefix.as_str()),
        )
        .await?;
        Ok(IssuedApiKey::new(key, text))
    }

    /// Replaces a key by a new one with the same name and permissions, made by whoever rotates it.
    /// The old one works for `overlap` more, so that its users can change over.
    ///
    /// # Errors
    /// As [`create`](Self::create), also for a permission of the key that the caller does not hold;
    /// [`NotFound`](ErrorKind::NotFound) if no such key is usable, or it was replaced already;
    /// [`Limit`](ErrorKind::Limit) if as many replaced keys still work as a tenant may have keys;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an overlap of more than 30 days.
    pub async fn rotate(
        &self,
        ctx: &TenantCtx,
        id: ApiKeyId,
        valid_for: Duration,
        overlap: Duration,
    ) -> Result<IssuedApiKey, Error> {
        check_maker(ctx)?;
        check_validity(valid_for)?;
        if overlap > MAX_OVERLAP {
            let message = "a replaced key works for at most 30 days more";
            return Err(Error::invalid("api_key_overlap", message));
        }
        let (text, stored) = self.generate()?;
        let mut tx = self.manage(ctx).await?;
        // Whoever gets to see the new secret can do what the key can do.
        let old = self.get_in(&mut tx, id).await?;
        self.holds(&mut tx, &old.permissions).await?;
        let most = self.limits.get_in(&mut tx, &limit::API_KEYS).await?;
        let replacement = Replacement {
            stored,
            valid_for,
            overlap,
        };
        if !self
            .store
            .rotate_in(&mut tx, id, &replacement, most)
            .await?
        {
            return Err(unknown());
        }
        let stored = replacement.stored;
        let key = self.get_in(&mut tx, stored.id).await?;
        let event = Event::new("api_key.rotated")
            .target("api_key", id)
            .target("api_key", key.id)
            .meta("overlap_seconds", overlap.as_secs());
        self.finish(tx, event).await?;
        Ok(IssuedApiKey::new(key, text))
    }

    /// Ends a key: the next request that carries it is refused.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `api_keys.manage`; [`NotFound`](ErrorKind::NotFound)
    /// if there is no such key, or it is revoked already.
    pub async fn revoke(&self, ctx: &TenantCtx, id: ApiKeyId) -> Result<(), Error> {
        let mut tx = self.manage(ctx).await?;
        if !self.store.revoke_in(&mut tx, id).await? {
            return Err(unknown());
        }
        self.finish(tx, Event::new("api_key.revoked").target("api_key", id))
            .await
    }

    /// The newest 500 keys, with those that no longer work: the newest 500 of these are kept, for 90
    /// days.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `api_keys.manage`.
    pub async fn list(&self, ctx: &TenantCtx) -> Result<Vec<ApiKey>, Error> {
        self.authorizer
            .require(ctx, perm::ApiKeysManage::get())
            .await?;
        self.store.list_in(&mut self.db.read(ctx).await?, 500).await
    }

    async fn manage(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::ApiKeysManage::get())
            .await?;
        Ok(tx)
    }

    /// Nobody gives a key what he does not hold.
    async fn holds(&self, tx: &mut TenantTx, permissions: &[PermissionKey]) -> Result<(), Error> {
        for permission in permissions {
            self.authorizer.require_key_in(tx, permission).await?;
        }
        Ok(())
    }

    async fn get_in(&self, tx: &mut TenantTx, id: ApiKeyId) -> Result<ApiKey, Error> {
        self.store.get_in(tx, id).await?.ok_or_else(unknown)
    }

    async fn finish(&self, mut tx: TenantTx, event: Event) -> Result<(), Error> {
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    fn generate(&self) -> Result<(KeyText, StoredKey), Error> {
        let text = KeyText::generate(&self.environment)?;
        let stored = StoredKey {
            id: ApiKeyId::new(),
            prefix: text.prefix().to_owned(),
            hash: text.hash(),
        };
        Ok((text, stored))
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys").finish_non_exhaustive()
    }
}

fn texts(permissions: &[PermissionKey]) -> Vec<&str> {
    permissions.iter().map(PermissionKey::as_str).collect()
}

/// Only a person makes keys: one that was made by a key would outlive it.
fn check_maker(ctx: &TenantCtx) -> Result<(), Error> {
    if ctx.user().is_some() && ctx.principal().on_behalf_of.is_none() {
        return Ok(());
    }
    let message = "only a user can make a key, and nobody in his place";
    Err(Error::invalid("api_key_maker", message))
}

fn check_validity(duration: Duration) -> Result<(), Error> {
    if (Duration::from_mins(1)..=MAX_VALIDITY).contains(&duration) {
        return Ok(());
    }
    let message = "a key works for at least a minute and at most 2 years";
    Err(Error::invalid("api_key_validity", message))
}

fn unknown() -> Error {
    let message = "there is no such key that can be used";
    Error::new(ErrorKind::NotFound, "api_key_unknown", message)
}
