//! The administration of roles.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tenancy_core::{
    AuditSink, Authorizer, Permission as _, PermissionKey, RoleKey, TenantCtx, TenantDb, TenantTx,
    UserId,
};

use super::{authorizer::PgAuthorizer, perm};
use crate::{Applied, Change, Error, Explanation, Holder, NewRole, Role, RoleName, RolePage};

/// The most members that one page of [`Roles::who_can`] holds.
const MAX_HOLDERS: u16 = 200;

/// Makes, changes and reviews the roles of a tenant.
///
/// Every change is one transaction: the permission `roles.manage` checked in it, the change, and
/// the audit entry with how it was before and is after. What is so already is no change and leaves
/// no entry. Who tries to give or take more than he holds is refused, and that is on record.
///
/// ```no_run
/// # use tenancy_authz::{NewRole, RoleName, Roles};
/// # use tenancy_core::{PermissionKey, RoleKey, TenantCtx, UserId};
/// # async fn run(roles: Roles, ctx: TenantCtx, user: UserId) -> Result<(), tenancy_authz::Error> {
/// let editor = RoleKey::from_static("editor");
/// let role = NewRole::new(editor.clone(), RoleName::parse("Editor")?)
///     .with_permission(PermissionKey::from_static("templates.write"));
/// roles.create(&ctx, role).await?;
/// roles.assign(&ctx, user, &editor, None).await?;
/// println!("{}", roles.why(&ctx, user, &PermissionKey::from_static("templates.write")).await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Roles {
    db: TenantDb,
    authorizer: Arc<PgAuthorizer>,
    audit: Arc<dyn AuditSink>,
}

impl Roles {
    /// Puts the service together.
    pub fn new(db: TenantDb, authorizer: Arc<PgAuthorizer>, audit: Arc<dyn AuditSink>) -> Self {
        Self {
            db,
            authorizer,
            audit,
        }
    }

    /// Makes a role with what it grants.
    ///
    /// # Errors
    /// [`RoleTaken`](crate::ErrorKind::RoleTaken) if the key is or was in use;
    /// [`PermissionUnknown`](crate::ErrorKind::PermissionUnknown);
    /// [`Exceeds`](crate::ErrorKind::Exceeds); [`Denied`](crate::ErrorKind::Denied);
    /// [`Limit`](crate::ErrorKind::Limit) at 20,000 roles.
    pub async fn create(&self, ctx: &TenantCtx, role: NewRole) -> Result<(), Error> {
        let NewRole {
            key,
            name,
            permissions,
        } = role;
        let grants = permissions.into_iter().map(|permission| Change::Grant {
            role: key.clone(),
            permission,
        });
        let create = Change::Create {
            role: key.clone(),
            name,
        };
        self.apply(ctx, std::iter::once(create).chain(grants).collect())
            .await
    }

    /// Changes a role's name; its key stays.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown); [`Denied`](crate::ErrorKind::Denied).
    pub async fn rename(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        name: RoleName,
    ) -> Result<(), Error> {
        self.apply(
            ctx,
            vec![Change::Rename {
                role: role.clone(),
                name,
            }],
        )
        .await
    }

    /// Deletes a role with its grants and assignments. Its key is never used again in this tenant.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown); [`RoleFixed`](crate::ErrorKind::RoleFixed)
    /// for `owner`; [`LastAdministrator`](crate::ErrorKind::LastAdministrator);
    /// [`Exceeds`](crate::ErrorKind::Exceeds); [`Denied`](crate::ErrorKind::Denied).
    pub async fn delete(&self, ctx: &TenantCtx, role: &RoleKey) -> Result<(), Error> {
        self.apply(ctx, vec![Change::Delete { role: role.clone() }])
            .await
    }

    /// Lets a role grant a permission.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown);
    /// [`PermissionUnknown`](crate::ErrorKind::PermissionUnknown);
    /// [`RoleFixed`](crate::ErrorKind::RoleFixed) for `owner`;
    /// [`Exceeds`](crate::ErrorKind::Exceeds); [`Denied`](crate::ErrorKind::Denied).
    pub async fn grant(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        permission: &PermissionKey,
    ) -> Result<(), Error> {
        let (role, permission) = (role.clone(), permission.clone());
        self.apply(ctx, vec![Change::Grant { role, permission }])
            .await
    }

    /// Lets a role no longer grant a permission.
    ///
    /// # Errors
    /// As [`grant`](Self::grant), and
    /// [`LastAdministrator`](crate::ErrorKind::LastAdministrator).
    pub async fn revoke(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        permission: &PermissionKey,
    ) -> Result<(), Error> {
        let (role, permission) = (role.clone(), permission.clone());
        self.apply(ctx, vec![Change::Revoke { role, permission }])
            .await
    }

    /// Gives a role to a member, for good or until a moment by the database's clock. If he has the
    /// role already, only the moment is changed.
    ///
    /// # Errors
    /// [`MemberUnknown`](crate::ErrorKind::MemberUnknown);
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown);
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a moment that has passed;
    /// [`Exceeds`](crate::ErrorKind::Exceeds), also if the giver's own right ends earlier;
    /// [`RoleFixed`](crate::ErrorKind::RoleFixed) and
    /// [`LastAdministrator`](crate::ErrorKind::LastAdministrator) if an end is set where none may
    /// be; [`Limit`](crate::ErrorKind::Limit) at 200 roles; [`Denied`](crate::ErrorKind::Denied).
    pub async fn assign(
        &self,
        ctx: &TenantCtx,
        member: UserId,
        role: &RoleKey,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<(), Error> {
        let role = role.clone();
        self.apply(
            ctx,
            vec![Change::Assign {
                member,
                role,
                expires_at,
            }],
        )
        .await
    }

    /// Takes a role from a member.
    ///
    /// # Errors
    /// [`MemberUnknown`](crate::ErrorKind::MemberUnknown);
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown);
    /// [`RoleFixed`](crate::ErrorKind::RoleFixed) for `owner` of an owner of the tenant;
    /// [`LastAdministrator`](crate::ErrorKind::LastAdministrator);
    /// [`Exceeds`](crate::ErrorKind::Exceeds); [`Denied`](crate::ErrorKind::Denied).
    pub async fn unassign(
        &self,
        ctx: &TenantCtx,
        member: UserId,
        role: &RoleKey,
    ) -> Result<(), Error> {
        self.apply(
            ctx,
            vec![Change::Unassign {
                member,
                role: role.clone(),
            }],
        )
        .await
    }

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

    async fn reading(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        self.authorizer.require(ctx, perm::RolesRead::get()).await?;
        Ok(self.db.read(ctx).await?)
    }

    async fn reading_about(&self, ctx: &TenantCtx, user: UserId) -> Result<TenantTx, Error> {
        if ctx.user() == Some(user) {
            return Ok(self.db.read(ctx).await?);
        }
        self.reading(ctx).await
    }

    /// All of the changes with their audit entries, or none.
    async fn apply(&self, ctx: &TenantCtx, changes: Vec<Change>) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_key_in(&mut tx, &perm::RolesManage::KEY)
            .await?;
        let mut anything = false;
        for change in &changes {
            match self.authorizer.store().change_in(&mut tx, change).await {
                Ok(Applied::Unchanged) => {}
                Ok(Applied::Changed(before)) => {
                    anything = true;
                    self.audit.record_in(&mut tx, change.event(before)).await?;
                }
                Err(error) => {
                    // Its locks must not wait for the audit log.
                    drop(tx);
                    let role = std::slice::from_ref(change.role());
                    self.authorizer.record_refusal(ctx, role, &error).await;
                    return Err(error);
                }
            }
        }
        if anything {
            self.authorizer.forget_after(&mut tx);
        }
        Ok(tx.commit().await?)
    }
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roles").finish_non_exhaustive()
    }
}
