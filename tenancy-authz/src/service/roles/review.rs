use tenancy_core::{PermissionKey, RoleKey, TenantCtx, TenantTx, UserId};

use super::{Roles, perm};
use crate::{Error, Explanation, Holder, Role, RoleMatrix, RolePage};

/// The most members that one page of [`Roles::who_can`] holds.
const MAX_HOLDERS: u16 = 200;

impl Roles {
    /// A page of the tenant's roles, in the order of their keys.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `roles.read`.
    pub async fn list(&self, ctx: &TenantCtx, page: &RolePage) -> Result<Vec<Role>, Error> {
        let mut tx = self.reading(ctx).await?;
        self.authorizer.store().list_in(&mut tx, page).await
    }

    /// What a role grants, sorted.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown); [`Denied`](crate::ErrorKind::Denied)
    /// without `roles.read`.
    pub async fn permissions_of_role(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
    ) -> Result<Vec<PermissionKey>, Error> {
        let mut tx = self.reading(ctx).await?;
        self.authorizer
            .store()
            .role_permissions_in(&mut tx, role)
            .await
    }

    /// What a member holds now, sorted. Everybody may ask about himself.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `roles.read`.
    pub async fn permissions_of_member(
        &self,
        ctx: &TenantCtx,
        member: UserId,
    ) -> Result<Vec<PermissionKey>, Error> {
        let mut tx = self.reading_about(ctx, member).await?;
        self.authorizer
            .store()
            .member_permissions_in(&mut tx, member)
            .await
    }

    /// Why a user holds a permission, or why not. Everybody may ask about himself.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `roles.read`.
    pub async fn why(
        &self,
        ctx: &TenantCtx,
        user: UserId,
        permission: &PermissionKey,
    ) -> Result<Explanation, Error> {
        let mut tx = self.reading_about(ctx, user).await?;
        self.authorizer
            .store()
            .explain_in(&mut tx, user, permission)
            .await
    }

    /// A page of the members who hold a permission now, in the order of their ids, after the one
    /// given; at most 200.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `roles.read`.
    pub async fn who_can(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Holder>, Error> {
        let mut tx = self.reading(ctx).await?;
        let limit = limit.clamp(1, MAX_HOLDERS);
        self.authorizer
            .store()
            .holders_in(&mut tx, permission, after, limit)
            .await
    }

    /// Which role grants what, for a page of roles and every registered permission.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `roles.read`.
    pub async fn matrix(&self, ctx: &TenantCtx, page: &RolePage) -> Result<RoleMatrix, Error> {
        let mut tx = self.reading(ctx).await?;
        let roles = self.authorizer.store().matrix_in(&mut tx, page).await?;
        drop(tx);
        let registry = self.authorizer.store().registry(ctx).await?;
        let mut permissions: Vec<_> = registry.into_iter().map(|entry| entry.key).collect();
        permissions.sort();
        Ok(RoleMatrix::new(roles, permissions))
    }

    pub(super) async fn reading(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        self.authorizer.require(ctx, perm::RolesRead::get()).await?;
        Ok(self.db.read(ctx).await?)
    }

    async fn reading_about(&self, ctx: &TenantCtx, user: UserId) -> Result<TenantTx, Error> {
        if ctx.user() == Some(user) {
            return Ok(self.db.read(ctx).await?);
        }
        self.reading(ctx).await
    }
}
