use async_trait::async_trait;

use crate::{Error, MyTenant, NewTenant, Tenant, TenantId, TenantStatus, TenantTx, UserId};

/// Stores tenants.
///
/// # Contract
/// State changes are compare-and-set: a change from a state that is no longer the current one is
/// [`Conflict`](crate::ErrorKind::Conflict) and changes nothing.
///
/// # Concurrency
/// Of two that claim one slug, one gets it.
///
/// # Errors and retry
/// As [`Error::retry`] says; a failed `*_in` leaves its transaction to be rolled back.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Honest about being Postgres-shaped: test it on a real database.
#[async_trait]
pub trait TenantStore: Send + Sync + 'static {
    /// Stores a new tenant with its slug and its first owner.
    async fn create_in(&self, tx: &mut TenantTx, tenant: &NewTenant) -> Result<(), Error>;
    /// The transaction's tenant.
    async fn get_in(&self, tx: &mut TenantTx) -> Result<Tenant, Error>;
    /// Moves the transaction's tenant from one state to another.
    async fn set_status_in(
        &self,
        tx: &mut TenantTx,
        from: TenantStatus,
        to: TenantStatus,
    ) -> Result<(), Error>;
    /// The tenants a user is an active member of, by name; at most 1,000.
    async fn for_user(&self, user: UserId) -> Result<Vec<MyTenant>, Error>;
    /// The tenant that has this slug now, if any.
    async fn by_slug(&self, slug: &str) -> Result<Option<TenantId>, Error>;
}
