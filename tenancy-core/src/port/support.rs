use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, Impersonation, ImpersonationId, NewImpersonation, SupportGrant, TenantTx};

/// Stores support's way into tenants.
///
/// # Contract
/// Only an active owner who acts for himself opens and closes a tenant. A session begins only for
/// the support staff, while the tenant is open, for an active member, for an owner only where that
/// is granted; never for one of the staff, and never by a member of the tenant. Closing the tenant
/// ends its sessions.
///
/// # Concurrency
/// Changes of one tenant happen one after the other.
///
/// # Errors and retry
/// As [`Error::retry`] says. What is refused has changed nothing.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Test on a real database.
#[async_trait]
pub trait SupportStore: Send + Sync + 'static {
    /// Opens the transaction's tenant; until when.
    async fn grant_in(
        &self,
        tx: &mut TenantTx,
        grant: &SupportGrant,
    ) -> Result<DateTime<Utc>, Error>;
    /// Closes it and ends its sessions; `false` if it was closed.
    async fn revoke_in(&self, tx: &mut TenantTx) -> Result<bool, Error>;
    /// Begins a session of the transaction's actor for the member he acts for.
    async fn start_in(
        &self,
        tx: &mut TenantTx,
        new: &NewImpersonation,
    ) -> Result<Impersonation, Error>;
    /// Ends a session, by the one who acts in it or by an owner.
    async fn end_in(&self, tx: &mut TenantTx, id: ImpersonationId) -> Result<(), Error>;
    /// A page of sessions, newest first, behind the one given.
    async fn list_in(
        &self,
        tx: &mut TenantTx,
        after: Option<ImpersonationId>,
        limit: u16,
    ) -> Result<Vec<Impersonation>, Error>;
}
