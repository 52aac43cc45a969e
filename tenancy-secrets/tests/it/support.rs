//! Two tenants, a vault, and what tests say often.

use std::sync::Arc;

use tenancy_core::{
    TenantCtx,
    migrate::CORE,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_secrets::{
    COMPONENT, LocalKeyring, ProviderKey, PutMode, SecretPath, SecretVault, Stored,
};
use tenancy_testkit::Db;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = ()> = std::result::Result<T, BoxError>;

/// A database with two tenants and a vault that may do everything.
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) a: TenantCtx,
    pub(crate) b: TenantCtx,
    pub(crate) audit: MemoryAudit,
    pub(crate) entry: String,
    pub(crate) vault: SecretVault,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let db = Db::new(&[&CORE, &COMPONENT]).await?;
        let (a, b) = (
            testing::tenant(&db.app).await?,
            testing::tenant(&db.app).await?,
        );
        let audit = MemoryAudit::new();
        let entry = LocalKeyring::generate_entry("test")?.expose().to_owned();
        let keyring = LocalKeyring::parse(&entry)?;
        let authorizer = Arc::new(FakeAuthorizer::allowing_all());
        let vault = SecretVault::new(db.app.clone(), keyring, authorizer, Arc::new(audit.clone()));
        Ok(Self {
            db,
            a,
            b,
            audit,
            entry,
            vault,
        })
    }

    /// A vault without anything cached, as another process has it.
    pub(crate) fn another_vault(&self) -> Result<SecretVault> {
        let keyring = LocalKeyring::parse(&self.entry)?;
        let authorizer = Arc::new(FakeAuthorizer::allowing_all());
        Ok(SecretVault::new(
            self.db.app.clone(),
            keyring,
            authorizer,
            Arc::new(self.audit.clone()),
        ))
    }

    pub(crate) async fn put(&self, ctx: &TenantCtx, name: &str, value: &str) -> Result<Stored> {
        let value = tenancy_core::SecretText::new(value);
        Ok(self
            .vault
            .put(ctx, &path(name), value, PutMode::Upsert)
            .await?)
    }
}

pub(crate) fn path(name: &str) -> SecretPath {
    SecretPath::new(ProviderKey::from_static("smartlead"))
        .with_name(name)
        .unwrap()
}
