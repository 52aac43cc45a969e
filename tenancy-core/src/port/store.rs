use async_trait::async_trait;

use crate::{
    Email, Error, Invitation, InvitationId, Member, MemberStatus, MyTenant, NewInvitation,
    NewTenant, Tenant, TenantId, TenantStatus, TenantTx, UserId,
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

/// Stores members.
///
/// # Contract
/// Compare-and-set, as for [`TenantStore`]. A change that would leave a tenant without an active
/// owner is [`Conflict`](crate::ErrorKind::Conflict) with the code `last_owner`.
///
/// # Concurrency
/// Two changes that would together remove the last owner: one fails.
///
/// # Errors and retry
/// As [`Error::retry`] says.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Honest about being Postgres-shaped: test it on a real database.
#[async_trait]
pub trait MembershipStore: Send + Sync + 'static {
    /// A page of members in the order of their ids, after the one given.
    async fn list_in(
        &self,
        tx: &mut TenantTx,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Member>, Error>;
    /// Activates or deactivates a member.
    async fn set_status_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        to: MemberStatus,
    ) -> Result<(), Error>;
    /// Ends a membership; what hangs on it goes too.
    async fn remove_in(&self, tx: &mut TenantTx, member: UserId) -> Result<(), Error>;
}

/// An invitation that a token opens, with what is needed to accept it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenedInvitation {
    /// The tenant that invites.
    pub tenant: TenantId,
    /// The invitation.
    pub invitation: Invitation,
    /// Who invited.
    pub invited_by: UserId,
    /// Whether it has expired, by the database's clock.
    pub expired: bool,
}

/// Stores invitations.
///
/// # Contract
/// Only the SHA-256 of a token is stored. Accepting is a compare-and-set from `pending`.
///
/// # Concurrency
/// Of any number that accept one token, one succeeds.
///
/// # Errors and retry
/// As [`Error::retry`] says.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Honest about being Postgres-shaped: test it on a real database.
#[async_trait]
pub trait InvitationStore: Send + Sync + 'static {
    /// Stores an invitation; an older pending one to the same address is revoked.
    async fn create_in(
        &self,
        tx: &mut TenantTx,
        invitation: &NewInvitation,
        token_hash: &[u8; 32],
    ) -> Result<Invitation, Error>;
    /// The invitation that a token's hash opens, if there is one.
    async fn open(&self, token_hash: &[u8; 32]) -> Result<Option<OpenedInvitation>, Error>;
    /// Accepts it for a user; `false` if it is no longer pending or has expired.
    async fn accept_in(
        &self,
        tx: &mut TenantTx,
        token_hash: &[u8; 32],
        user: UserId,
        email: &Email,
    ) -> Result<bool, Error>;
    /// Takes a pending one back; `false` if it is not pending.
    async fn revoke_in(&self, tx: &mut TenantTx, id: InvitationId) -> Result<bool, Error>;
    /// The newest invitations, at most `limit`.
    async fn list_in(&self, tx: &mut TenantTx, limit: u16) -> Result<Vec<Invitation>, Error>;
}
