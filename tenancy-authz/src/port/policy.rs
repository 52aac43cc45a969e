use async_trait::async_trait;
use tenancy_core::{
    Decision, HeldRole, PermissionKey, RoleKey, RolesChange, TenantCtx, TenantTx, UserId,
};

use crate::{
    Applied, Change, Epoch, Error, Explanation, Holder, MatrixRole, PolicyDocument, RefusedChange,
    RegisteredPermission, Role, RolePage, Snapshot,
};

/// Keeps the roles of tenants, what they grant, who has them, and the epochs that caches check.
///
/// # Contract
/// Everything is about the tenant of the context or transaction, and `registry` about none. Each
/// change counts the tenant's epoch up in the same transaction. The store keeps these rules, also
/// between two changes at once:
/// - who changes roles holds `roles.manage`, or the change is [`Denied`];
/// - nobody grants, takes away or deletes what he does not hold, nor for longer than he holds it
///   ([`Exceeds`]);
/// - the role `owner` grants everything, is not changed, and stays with the owners of the tenant
///   ([`RoleFixed`]);
/// - somebody is left who manages roles and does not lose that by the clock alone
///   ([`LastAdministrator`]);
/// - the key of a deleted role is not used again ([`RoleTaken`]);
/// - what a role grants by a wildcard is had for permissions to come, and so is granted by those only
///   who have such a wildcard, or a default role that grants everything ([`Exceeds`]);
/// - a role stands neither above itself nor below more than 8 others, one over the other.
///
/// Wildcards and parents count when they are written, and when permissions are registered: whatever
/// a role grants is there by its key, and a check compares keys.
///
/// # Concurrency
/// Changes of one tenant happen one after the other. A [`Snapshot`] is what one moment showed.
///
/// # Errors and retry
/// A refused change leaves its transaction usable and has changed nothing.
///
/// # Cancellation
/// The `*_in` forms follow their transaction; the others only read.
///
/// # For implementors
/// `tenancy_authz::testing::conformance` is the suite.
///
/// [`Denied`]: crate::ErrorKind::Denied
/// [`Exceeds`]: crate::ErrorKind::Exceeds
/// [`LastAdministrator`]: crate::ErrorKind::LastAdministrator
/// [`RoleFixed`]: crate::ErrorKind::RoleFixed
/// [`RoleTaken`]: crate::ErrorKind::RoleTaken
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait PolicyStore: Send + Sync + 'static {
    /// Every registered permission.
    async fn registry(&self, ctx: &TenantCtx) -> Result<Vec<RegisteredPermission>, Error>;

    /// What the user of the context may do, or the maker of its API key; `None` if the tenant's epoch is still `known`.
    async fn snapshot(
        &self,
        ctx: &TenantCtx,
        known: Option<Epoch>,
    ) -> Result<Option<Snapshot>, Error>;

    /// Whether the transaction's principal holds a permission now. Who is no member is denied as such,
    /// whatever is asked, and so is an API key whose maker is none.
    async fn decide_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<Decision, Error>;

    /// The roles the transaction's user has now, sorted; none for services and API keys.
    async fn roles_in(&self, tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error>;

    /// Changes the policy, as the transaction's principal.
    async fn change_in(&self, tx: &mut TenantTx, change: &Change) -> Result<Applied, Error>;

    /// Makes several changes as one step, as the transaction's principal: all of them or none, and each
    /// is answered in its place. They are judged as a whole: by what the principal held before, and by
    /// what is so after all of them. What is a limit, a circle, or the end of administration only in
    /// passing is none.
    async fn change_all_in(
        &self,
        tx: &mut TenantTx,
        changes: &[Change],
    ) -> Result<Vec<Applied>, RefusedChange>;

    /// Makes the default roles that the tenant neither has nor retired, and gives its owner the
    /// role `owner`.
    async fn seed_in(&self, tx: &mut TenantTx, owner: UserId) -> Result<Applied, Error>;

    /// Fails unless the roles exist and the transaction's principal may grant each of them.
    async fn may_grant_in(&self, tx: &mut TenantTx, roles: &[RoleKey]) -> Result<(), Error>;

    /// Gives a new member the roles of an invitation he accepted, if the one who invited him may
    /// still grant them.
    async fn assign_invited_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        invited_by: UserId,
        roles: &[RoleKey],
    ) -> Result<(), Error>;

    /// Makes these the roles of a member, for good, and takes all others from him, as the
    /// transaction's principal and by the rules of [`change_in`](Self::change_in). `None` if nothing
    /// had to be changed: a role that has ended is none that he has.
    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        roles: &[RoleKey],
    ) -> Result<Option<RolesChange>, Error>;

    /// The roles that a member has, whatever his state, sorted and without those that have ended.
    /// Nobody else changes them until the transaction ends.
    async fn held_in(&self, tx: &mut TenantTx, member: UserId) -> Result<Vec<HeldRole>, Error>;

    /// Gives the role `owner` to a member who became an owner of the tenant, or takes it from one
    /// who is none any more; who would be left without a role keeps `admin`.
    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<RolesChange, Error>;

    /// A page of roles in the order of their keys.
    async fn list_in(&self, tx: &mut TenantTx, page: &RolePage) -> Result<Vec<Role>, Error>;

    /// What a role grants, sorted.
    async fn role_permissions_in(
        &self,
        tx: &mut TenantTx,
        role: &RoleKey,
    ) -> Result<Vec<PermissionKey>, Error>;

    /// What a user holds now, sorted.
    async fn member_permissions_in(
        &self,
        tx: &mut TenantTx,
        user: UserId,
    ) -> Result<Vec<PermissionKey>, Error>;

    /// Why a user holds a permission, or why not.
    async fn explain_in(
        &self,
        tx: &mut TenantTx,
        user: UserId,
        permission: &PermissionKey,
    ) -> Result<Explanation, Error>;

    /// A page of the members who hold a permission, in the order of their ids, after the one given.
    async fn holders_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Holder>, Error>;

    /// A page of roles with everything that each grants, in the order of their keys.
    async fn matrix_in(&self, tx: &mut TenantTx, page: &RolePage)
    -> Result<Vec<MatrixRole>, Error>;

    /// Lets nobody else change the policy until the transaction ends, and answers the epoch. For who
    /// may manage roles.
    async fn lock_in(&self, tx: &mut TenantTx) -> Result<Epoch, Error>;

    /// The whole policy with its epoch, as one moment showed it; without assignments that ended.
    async fn policy_in(&self, tx: &mut TenantTx) -> Result<PolicyDocument, Error>;
}
