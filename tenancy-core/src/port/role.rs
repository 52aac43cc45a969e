#![cfg_attr(
    feature = "testing",
    expect(
        clippy::struct_field_names,
        reason = "the mock has a field for each method"
    )
)]

use async_trait::async_trait;

use crate::{Error, HeldRole, RoleKey, RolesChange, TenantTx, UserId};

/// Keeps which roles a tenant has and which members have them.
///
/// Onboarding writes a tenant, its owner and their roles in one transaction, without knowing how
/// roles are stored: this port is what it needs for that.
///
/// # Contract
/// All of it happens in the caller's transaction, for that transaction's tenant.
///
/// # Concurrency
/// Seeding by two processes at once ends as seeding once.
///
/// # Errors and retry
/// An unknown role is [`NotFound`](crate::ErrorKind::NotFound), a role that would give more than
/// the granter has is [`Denied`](crate::ErrorKind::Denied).
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// `tenancy_core::testing::conformance::role_directory` is the suite. Run it on a real database.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait RoleDirectory: Send + Sync + 'static {
    /// Gives a tenant its default roles and gives its first owner the role `owner`.
    async fn seed_in(&self, tx: &mut TenantTx, owner: UserId) -> Result<(), Error>;

    /// Fails unless all roles exist and the transaction's principal may grant each of them.
    async fn may_grant_in(&self, tx: &mut TenantTx, roles: &[RoleKey]) -> Result<(), Error>;

    /// Makes these the roles of a member, for good, and takes all others from him, as the
    /// transaction's principal. `None` if nothing had to be changed: a role that has ended is none
    /// that he has.
    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        roles: &[RoleKey],
    ) -> Result<Option<RolesChange>, Error>;

    /// The roles that a member has, whatever his state, sorted and without those that have ended.
    /// Nobody else changes them until the transaction, which writes, ends. None where roles aren't
    /// stored.
    async fn held_in(&self, tx: &mut TenantTx, member: UserId) -> Result<Vec<HeldRole>, Error>;

    /// Follows the membership of a member who became an owner, or is no longer one: the role
    /// `owner` comes and goes with it. Whoever would be left without any role keeps `admin`. `None`
    /// where roles aren't stored.
    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<Option<RolesChange>, Error>;

    /// Gives roles to a member who accepted an invitation, on the word of the member who invited.
    async fn assign_invited_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        invited_by: UserId,
        roles: &[RoleKey],
    ) -> Result<(), Error>;
}
