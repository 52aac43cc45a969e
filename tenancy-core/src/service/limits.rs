//! The quotas of a tenant.

use std::sync::Arc;

use crate::{Error, Limit, PgStore, SettingKey, SettingStore, TenantCtx, TenantDb, TenantTx};

/// The limits that the core itself keeps to.
pub mod limit {
    use crate::Limit;

    /// `api_keys.usable`: how many API keys may be usable at once.
    pub const API_KEYS: Limit = Limit::new(
        "api_keys.usable",
        "how many API keys may be usable at once",
        100,
    )
    .within(0, 10_000);

    /// `members.pending_invitations`: how many invitations may wait for an answer at once.
    pub const PENDING_INVITATIONS: Limit = Limit::new(
        "members.pending_invitations",
        "how many invitations may wait for an answer at once",
        100,
    )
    .within(0, 100_000);
}

/// Tells a tenant's limits: what the platform has set, or the default that the code declares.
///
/// Everybody in the tenant may know them. Only the platform sets them, by
/// [`Platform::set_limit`](crate::Platform::set_limit).
///
/// ```no_run
/// # async fn run(db: tenancy_core::TenantDb, ctx: tenancy_core::TenantCtx) -> Result<(), tenancy_core::Error> {
/// use tenancy_core::{Limit, Limits};
///
/// const SEATS: Limit = Limit::new("shop.seats", "how many may work at once", 5).within(1, 500);
///
/// let seats = Limits::new(db).get(&ctx, &SEATS).await?;
/// # Ok(()) }
/// ```
///
/// Who enforces one reads it in the transaction that it bounds ([`get_in`](Self::get_in)), and
/// takes a lock there before he counts: two that count at once would both see room for one more.
#[derive(Clone)]
pub struct Limits {
    db: TenantDb,
    store: Arc<dyn SettingStore>,
}

impl Limits {
    /// Reads them from this database.
    pub fn new(db: TenantDb) -> Self {
        let store = Arc::new(PgStore::new(db.clone()));
        Self { db, store }
    }

    /// A limit of the context's tenant.
    pub async fn get(&self, ctx: &TenantCtx, limit: &Limit) -> Result<u64, Error> {
        self.get_in(&mut self.db.read(ctx).await?, limit).await
    }

    /// A limit of the transaction's tenant.
    pub async fn get_in(&self, tx: &mut TenantTx, limit: &Limit) -> Result<u64, Error> {
        let keys = [limit.key().clone()];
        let stored = self.store.limits_in(tx, &keys).await?;
        Ok(limit.read(stored.first().copied().flatten()))
    }

    /// Several limits of the context's tenant in one query, in their order.
    pub async fn list(&self, ctx: &TenantCtx, limits: &[Limit]) -> Result<Vec<u64>, Error> {
        let keys: Vec<SettingKey> = limits.iter().map(|limit| limit.key().clone()).collect();
        let mut tx = self.db.read(ctx).await?;
        let stored = self.store.limits_in(&mut tx, &keys).await?;
        let read = |(limit, stored): (&Limit, Option<i64>)| limit.read(stored);
        Ok(limits.iter().zip(stored).map(read).collect())
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}
