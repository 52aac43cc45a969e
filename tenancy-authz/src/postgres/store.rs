//! The port on Postgres.

use async_trait::async_trait;
use tenancy_core::{
    Decision, HeldRole, PermissionKey, RoleKey, RolesChange, TenantCtx, TenantDb, TenantTx, UserId,
};

use super::{changes, held, reads, reviews};
use crate::{
    Applied, Change, Epoch, Error, Explanation, Holder, MatrixRole, PolicyDocument, PolicyStore,
    RefusedChange, RegisteredPermission, Role, RolePage, Snapshot,
};

/// Keeps roles in the tables of [`COMPONENT`](crate::COMPONENT).
///
/// What is read outside of a transaction goes over connections of its own, so that a host whose
/// transactions use up the pool can still be told what they may do.
#[derive(Clone, Debug)]
pub struct PgPolicyStore {
    db: TenantDb,
}

impl PgPolicyStore {
    /// Keeps them in this database.
    pub fn new(db: TenantDb) -> Self {
        Self { db }
    }
}

#[async_trait]
impl PolicyStore for PgPolicyStore {
    async fn registry(&self, ctx: &TenantCtx) -> Result<Vec<RegisteredPermission>, Error> {
        reads::registry(&mut self.db.aside(ctx).await?).await
    }

    async fn snapshot(
        &self,
        ctx: &TenantCtx,
        known: Option<Epoch>,
    ) -> Result<Option<Snapshot>, Error> {
        reads::snapshot(&mut self.db.aside(ctx).await?, known).await
    }

    async fn decide_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<Decision, Error> {
        reads::decide(tx, permission).await
    }

    async fn roles_in(&self, tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error> {
        reads::my_roles(tx).await
    }

    async fn change_in(&self, tx: &mut TenantTx, change: &Change) -> Result<Applied, Error> {
        changes::apply(tx, change).await
    }

    async fn change_all_in(
        &self,
        tx: &mut TenantTx,
        changes: &[Change],
    ) -> Result<Vec<Applied>, RefusedChange> {
        changes::apply_all(tx, changes).await
    }

    async fn seed_in(&self, tx: &mut TenantTx, owner: UserId) -> Result<Applied, Error> {
        changes::seed(tx, owner).await
    }

    async fn may_grant_in(&self, tx: &mut TenantTx, roles: &[RoleKey]) -> Result<(), Error> {
        changes::may_grant(tx, roles).await
    }

    async fn assign_invited_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        invited_by: UserId,
        roles: &[RoleKey],
    ) -> Result<(), Error> {
        changes::assign_invited(tx, member, invited_by, roles).await
    }

    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        roles: &[RoleKey],
    ) -> Result<Option<RolesChange>, Error> {
        held::set_roles(tx, member, roles).await
    }

    async fn held_in(&self, tx: &mut TenantTx, member: UserId) -> Result<Vec<HeldRole>, Error> {
        held::lock(tx, member).await
    }

    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<RolesChange, Error> {
        held::set_owner(tx, member, is_owner).await
    }

    async fn list_in(&self, tx: &mut TenantTx, page: &RolePage) -> Result<Vec<Role>, Error> {
        reads::list(tx, page).await
    }

    async fn role_permissions_in(
        &self,
        tx: &mut TenantTx,
        role: &RoleKey,
    ) -> Result<Vec<PermissionKey>, Error> {
        reads::role_permissions(tx, role).await
    }

    async fn member_permissions_in(
        &self,
        tx: &mut TenantTx,
        user: UserId,
    ) -> Result<Vec<PermissionKey>, Error> {
        reads::member_permissions(tx, user).await
    }

    async fn explain_in(
        &self,
        tx: &mut TenantTx,
        user: UserId,
        permission: &PermissionKey,
    ) -> Result<Explanation, Error> {
        reviews::explain(tx, user, permission).await
    }

    async fn holders_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Holder>, Error> {
        reviews::holders(tx, permission, after, limit).await
    }

    async fn matrix_in(
        &self,
        tx: &mut TenantTx,
        page: &RolePage,
    ) -> Result<Vec<MatrixRole>, Error> {
        reviews::matrix(tx, page).await
    }

    async fn lock_in(&self, tx: &mut TenantTx) -> Result<Epoch, Error> {
        changes::lock(tx).await
    }

    async fn policy_in(&self, tx: &mut TenantTx) -> Result<PolicyDocument, Error> {
        reviews::policy(tx).await
    }
}
