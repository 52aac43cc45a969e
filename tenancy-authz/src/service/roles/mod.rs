//! The administration of roles.

mod review;
mod transfer;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tenancy_core::{
    AuditSink, Authorizer, Event, Permission as _, PermissionKey, RoleKey, TenantCtx, TenantDb,
    TenantTx, UserId,
};

pub use transfer::ImportOptions;

use super::{authorizer::PgAuthorizer, perm};
use crate::{
    Applied, Change, Error, NewRole, RefusedChange, RoleName, Wildcard,
    model::{OWNER, Refusal},
};

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
            wildcards,
            parents,
        } = role;
        let role = || key.clone();
        let mut changes = vec![Change::Create { role: role(), name }];
        let grant = |permission| Change::Grant {
            role: role(),
            permission,
        };
        changes.extend(permissions.into_iter().map(grant));
        let grant = |wildcard| Change::GrantWildcard {
            role: role(),
            wildcard,
        };
        changes.extend(wildcards.into_iter().map(grant));
        let above = |parent| Change::AddParent {
            role: role(),
            parent,
        };
        changes.extend(parents.into_iter().map(above));
        let tx = self.changing(ctx).await?;
        let (tx, applied) = self.make(tx, &changes).await?;
        self.keep(tx, &changes, applied, None).await
    }

    /// Changes a role's name; its key stays.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown); [`RoleFixed`](crate::ErrorKind::RoleFixed)
    /// for `owner`; [`Denied`](crate::ErrorKind::Denied).
    pub async fn rename(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        name: RoleName,
    ) -> Result<(), Error> {
        let change = Change::Rename {
            role: role.clone(),
            name,
        };
        self.change(ctx, change).await
    }

    /// Deletes a role with its grants and assignments. Its key is never used again in this tenant.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown); [`RoleFixed`](crate::ErrorKind::RoleFixed)
    /// for `owner`; [`LastAdministrator`](crate::ErrorKind::LastAdministrator);
    /// [`Exceeds`](crate::ErrorKind::Exceeds); [`Denied`](crate::ErrorKind::Denied).
    pub async fn delete(&self, ctx: &TenantCtx, role: &RoleKey) -> Result<(), Error> {
        self.change(ctx, Change::Delete { role: role.clone() })
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
        self.change(ctx, Change::Grant { role, permission }).await
    }

    /// Lets a role no longer grant a permission.
    ///
    /// # Errors
    /// As [`grant`](Self::grant), and
    /// [`LastAdministrator`](crate::ErrorKind::LastAdministrator);
    /// [`GrantedOtherwise`](crate::ErrorKind::GrantedOtherwise) if the role would still grant it by a
    /// wildcard or a parent: nothing is changed then.
    pub async fn revoke(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        permission: &PermissionKey,
    ) -> Result<(), Error> {
        let (role, permission) = (role.clone(), permission.clone());
        self.change(ctx, Change::Revoke { role, permission }).await
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
        let change = Change::Assign {
            member,
            role,
            expires_at,
        };
        self.change(ctx, change).await
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
        let change = Change::Unassign {
            member,
            role: role.clone(),
        };
        self.change(ctx, change).await
    }

    /// Lets a role grant every permission below a prefix, also those that are registered later. Who
    /// gives such a share in what is to come has one himself: the same wildcard or a wider one, or a
    /// default role that grants everything.
    ///
    /// # Errors
    /// As [`grant`](Self::grant); [`PermissionUnknown`](crate::ErrorKind::PermissionUnknown) if
    /// nothing is below the prefix; [`Limit`](crate::ErrorKind::Limit) at 100 wildcards.
    pub async fn grant_wildcard(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        wildcard: &Wildcard,
    ) -> Result<(), Error> {
        let (role, wildcard) = (role.clone(), wildcard.clone());
        self.change(ctx, Change::GrantWildcard { role, wildcard })
            .await
    }

    /// Takes a wildcard from a role. What the role is granted by name, by another wildcard or by a
    /// parent stays.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_wildcard(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        wildcard: &Wildcard,
    ) -> Result<(), Error> {
        let (role, wildcard) = (role.clone(), wildcard.clone());
        self.change(ctx, Change::RevokeWildcard { role, wildcard })
            .await
    }

    /// Lets a role grant what another one grants, now and later. If that one is deleted, what came
    /// from it goes.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown); [`RoleFixed`](crate::ErrorKind::RoleFixed)
    /// for `owner` on either side; [`InvalidInput`](crate::ErrorKind::InvalidInput) for a parent that
    /// stands below the role already; [`Limit`](crate::ErrorKind::Limit) at 20 parents, and at 8
    /// roles one over the other; [`Exceeds`](crate::ErrorKind::Exceeds);
    /// [`Denied`](crate::ErrorKind::Denied).
    pub async fn add_parent(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        parent: &RoleKey,
    ) -> Result<(), Error> {
        let (role, parent) = (role.clone(), parent.clone());
        self.change(ctx, Change::AddParent { role, parent }).await
    }

    /// Lets a role no longer grant what another one grants.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown);
    /// [`LastAdministrator`](crate::ErrorKind::LastAdministrator);
    /// [`Exceeds`](crate::ErrorKind::Exceeds); [`Denied`](crate::ErrorKind::Denied).
    pub async fn remove_parent(
        &self,
        ctx: &TenantCtx,
        role: &RoleKey,
        parent: &RoleKey,
    ) -> Result<(), Error> {
        let (role, parent) = (role.clone(), parent.clone());
        self.change(ctx, Change::RemoveParent { role, parent })
            .await
    }

    /// Makes a role that grants what another one grants, by the same names, wildcards and parents. A
    /// clone of a default role is the tenant's own: no template reaches it.
    ///
    /// # Errors
    /// [`RoleUnknown`](crate::ErrorKind::RoleUnknown) for the one that is cloned; else as
    /// [`create`](Self::create).
    pub async fn clone_role(
        &self,
        ctx: &TenantCtx,
        from: &RoleKey,
        key: RoleKey,
        name: RoleName,
    ) -> Result<(), Error> {
        let (role, from) = (key, from.clone());
        self.change(ctx, Change::Clone { role, name, from }).await
    }

    /// One change with its audit entry.
    async fn change(&self, ctx: &TenantCtx, change: Change) -> Result<(), Error> {
        let mut tx = self.changing(ctx).await?;
        let made = self.authorizer.store().change_in(&mut tx, &change).await;
        match made.and_then(|made| revoked_for_real(&change, made)) {
            Ok(made) => self.keep(tx, &[change], vec![made], None).await,
            Err(error) => Err(self.refused(tx, change.role(), error).await),
        }
    }

    /// Makes all of the changes in a transaction that [`changing`](Self::changing) opened, or gives it
    /// up. What is only tried is refused on record, too: it tells as much.
    async fn make(
        &self,
        mut tx: TenantTx,
        changes: &[Change],
    ) -> Result<(TenantTx, Vec<Applied>), Error> {
        match self
            .authorizer
            .store()
            .change_all_in(&mut tx, changes)
            .await
        {
            Ok(applied) => Ok((tx, applied)),
            Err(RefusedChange { at, error }) => {
                let role = at.and_then(|at| changes.get(at)).map(Change::role);
                let owner = RoleKey::from_static(OWNER);
                Err(self.refused(tx, role.unwrap_or(&owner), error).await)
            }
        }
    }

    /// Commits changes with an audit entry for each that changed something, and one more for them all.
    async fn keep(
        &self,
        mut tx: TenantTx,
        changes: &[Change],
        applied: Vec<Applied>,
        all: Option<Event>,
    ) -> Result<(), Error> {
        let mut events = Vec::new();
        for (change, made) in changes.iter().zip(applied) {
            if let Applied::Changed(before) = made {
                events.push(change.event(before));
            }
        }
        if !events.is_empty() {
            self.authorizer.forget_after(&mut tx);
        }
        for event in events.into_iter().chain(all) {
            self.audit.record_in(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn changing(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_key_in(&mut tx, &perm::RolesManage::KEY)
            .await?;
        Ok(tx)
    }

    /// Puts a refusal on record, once the locks of its transaction, which must not wait for the
    /// audit log, are gone.
    async fn refused(&self, tx: TenantTx, role: &RoleKey, error: Error) -> Error {
        let ctx = tx.ctx().clone();
        drop(tx);
        let role = std::slice::from_ref(role);
        self.authorizer.record_refusal(&ctx, role, &error).await;
        error
    }
}

/// Who takes a permission from a role is told if the role grants it still.
fn revoked_for_real(change: &Change, made: Applied) -> Result<Applied, Error> {
    if let Applied::Changed(before) = &made
        && let Some(by) = before.get("still_by").and_then(Value::as_str)
    {
        let by = by.to_owned();
        return Err(Refusal::GrantedOtherwise { by }.into_error(change.role().as_str()));
    }
    Ok(made)
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roles").finish_non_exhaustive()
    }
}
