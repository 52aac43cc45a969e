use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Error, HoldReference, MyTenant, MyTenantsPage, NewTenant, Slug, SlugOwner, Tenant, TenantName,
    TenantState, TenantTx, Transition, UserId,
};

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
    /// The state of the transaction's tenant.
    async fn state_in(&self, tx: &mut TenantTx) -> Result<TenantState, Error>;
    /// Moves the transaction's tenant from one state to another, as
    /// [`TenantStatus::may_become`](crate::TenantStatus::may_become) says. What a service's context
    /// closed is opened in a service's context only.
    async fn move_in(&self, tx: &mut TenantTx, transition: &Transition) -> Result<(), Error>;
    /// Renames the transaction's tenant; the name it had.
    async fn rename_in(&self, tx: &mut TenantTx, name: &TenantName) -> Result<String, Error>;
    /// Gives the transaction's tenant another slug and keeps the old one for it; the one it had.
    async fn change_slug_in(
        &self,
        tx: &mut TenantTx,
        slug: &Slug,
        keep: Duration,
    ) -> Result<String, Error>;
    /// Places or releases a legal hold; `false` if nothing was to be changed. Refused to a context
    /// that is no service's.
    async fn hold_in(
        &self,
        tx: &mut TenantTx,
        reference: &HoldReference,
        place: bool,
    ) -> Result<bool, Error>;
    /// A page of the tenants a user is an active member of, by name; never more than 1,000.
    async fn for_user(&self, user: UserId, page: &MyTenantsPage) -> Result<Vec<MyTenant>, Error>;
    /// The tenant that has this slug now, or had it and is still known by it.
    async fn by_slug(&self, slug: &str) -> Result<Option<SlugOwner>, Error>;
}
