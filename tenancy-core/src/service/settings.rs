//! What a tenant chooses for itself.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    AuditSink, Authorizer, AuthorizerExt as _, Error, Event, PgStore, Setting, SettingChange,
    SettingStore, TenantCtx, TenantDb, TenantTx, perm,
};

/// Reads and changes a tenant's settings.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, Error, TenantCtx, TenantDb};
/// # async fn run(db: TenantDb, ctx: TenantCtx, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>)
/// # -> Result<(), Error> {
/// use tenancy_core::{Setting, Settings};
///
/// const LANGUAGE: Setting<String> =
///     Setting::new("shop.language", "the language of its pages", || "en".to_owned());
///
/// let settings = Settings::new(db, authorizer, audit);
/// settings.set(&ctx, &LANGUAGE, &"de".to_owned()).await?;
/// assert_eq!(settings.get(&ctx, &LANGUAGE).await?, "de");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Settings {
    db: TenantDb,
    store: Arc<dyn SettingStore>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
}

impl Settings {
    /// Puts the service together, on Postgres.
    pub fn new(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>) -> Self {
        let store = Arc::new(PgStore::new(db.clone()));
        Self {
            db,
            store,
            authorizer,
            audit,
        }
    }

    /// A setting of the context's tenant; its default, where nothing is set.
    pub async fn get<T>(&self, ctx: &TenantCtx, setting: &Setting<T>) -> Result<T, Error>
    where
        T: DeserializeOwned + Serialize,
    {
        self.get_in(&mut self.db.read(ctx).await?, setting).await
    }

    /// A setting of the transaction's tenant.
    pub async fn get_in<T>(&self, tx: &mut TenantTx, setting: &Setting<T>) -> Result<T, Error>
    where
        T: DeserializeOwned + Serialize,
    {
        let keys = [setting.key().clone()];
        let stored = self.store.values_in(tx, &keys).await?;
        setting.read(stored.into_iter().next().flatten())
    }

    /// Sets it. The last of two writers wins; see [`swap`](Self::swap).
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `tenant.manage`;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the value breaks the setting's rule.
    pub async fn set<T>(
        &self,
        ctx: &TenantCtx,
        setting: &Setting<T>,
        value: &T,
    ) -> Result<(), Error>
    where
        T: DeserializeOwned + Serialize,
    {
        self.change(ctx, setting, Some(setting.write(value)?), None)
            .await
    }

    /// Sets it if its value is still `from`.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`Conflict`](crate::ErrorKind::Conflict) `stale`.
    pub async fn swap<T>(
        &self,
        ctx: &TenantCtx,
        setting: &Setting<T>,
        from: &T,
        to: &T,
    ) -> Result<(), Error>
    where
        T: DeserializeOwned + Serialize,
    {
        let (from, to) = (setting.write(from)?, setting.write(to)?);
        self.change(ctx, setting, Some(to), Some(from)).await
    }

    /// Goes back to the default, whatever that will be.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `tenant.manage`.
    pub async fn reset<T>(&self, ctx: &TenantCtx, setting: &Setting<T>) -> Result<(), Error>
    where
        T: DeserializeOwned + Serialize,
    {
        self.change(ctx, setting, None, None).await
    }

    async fn change<T>(
        &self,
        ctx: &TenantCtx,
        setting: &Setting<T>,
        value: Option<Value>,
        expected: Option<Value>,
    ) -> Result<(), Error>
    where
        T: DeserializeOwned + Serialize,
    {
        let change = SettingChange {
            key: setting.key().clone(),
            value,
            expected,
            default: setting.write(&setting.default_value())?,
        };
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::TenantManage::get())
            .await?;
        self.store.set_value_in(&mut tx, &change).await?;
        // The value may be personal or long: the entry says which setting, not what.
        let event = Event::new("setting.changed")
            .target("setting", &change.key)
            .meta("reset", change.value.is_none());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}
