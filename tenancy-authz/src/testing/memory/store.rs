use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tenancy_core::{
    Decision, HeldRole, PermissionKey, RoleKey, RolesChange, TenantCtx, TenantTx, UserId,
};

use super::{
    super::policy::{Asking, MemberRow, RoleRow},
    MemoryPolicyStore, lock,
};
use crate::{
    Applied, Change, Epoch, Error, Explanation, Grant, Holder, MatrixRole, MemberState,
    PolicyDocument, PolicyStore, RefusedChange, RegisteredPermission, Role, RolePage, Snapshot,
    TEMPLATES,
    model::{Found, OWNER, Refusal, by_itself},
};

#[async_trait]
impl PolicyStore for MemoryPolicyStore {
    async fn registry(&self, _: &TenantCtx) -> Result<Vec<RegisteredPermission>, Error> {
        Ok(lock(&self.0).registry.values().cloned().collect())
    }

    async fn snapshot(
        &self,
        ctx: &TenantCtx,
        known: Option<Epoch>,
    ) -> Result<Option<Snapshot>, Error> {
        let policy = self.committed(ctx.tenant());
        if known == Some(policy.epoch) {
            return Ok(None);
        }
        let Some(user) = ctx.user().or(ctx.maker()) else {
            return Ok(Some(Snapshot::default()));
        };
        let now = Utc::now();
        let state = lock(&self.0);
        let permissions = policy.permissions_of(user, now);
        let bits = permissions
            .iter()
            .filter_map(|key| Some(state.registry.get(key)?.bit));
        Ok(Some(Snapshot {
            epoch: policy.epoch,
            is_member: policy
                .members
                .get(&user)
                .is_some_and(|member| member.is_active),
            roles: policy
                .roles_of(user, now)
                .map(|(role, _)| role.clone())
                .collect(),
            permissions: bits.collect(),
            valid_for: policy
                .roles_of(user, now)
                .filter_map(|(_, ends)| left(ends?, now))
                .min(),
        }))
    }

    async fn decide_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<Decision, Error> {
        let (policy, ctx) = (self.seen(tx), tx.ctx());
        if let Some(decision) = by_itself(ctx, permission) {
            return Ok(decision);
        }
        let user = ctx.user().or(ctx.maker());
        let member = user.and_then(|user| policy.members.get(&user));
        let granted = user.map(|user| policy.permissions_of(user, Utc::now()));
        let found = Found {
            is_member: member.is_some_and(|member| member.is_active),
            is_registered: lock(&self.0).registry.contains_key(permission),
            is_granted: granted.is_some_and(|granted| granted.contains(permission)),
        };
        Ok(found.decide(ctx, permission))
    }

    async fn roles_in(&self, tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error> {
        let policy = self.seen(tx);
        let Some(user) = tx.ctx().user() else {
            return Ok(Vec::new());
        };
        Ok(policy
            .roles_of(user, Utc::now())
            .map(|(role, _)| role.clone())
            .collect())
    }

    async fn change_in(&self, tx: &mut TenantTx, change: &Change) -> Result<Applied, Error> {
        let mut policy = self.seen(tx);
        let applied = policy
            .apply(tx.ctx(), change, Utc::now())
            .map_err(|refusal| refusal.into_error(change.role().as_str()))?;
        self.stage(tx, policy);
        Ok(applied)
    }

    async fn change_all_in(
        &self,
        tx: &mut TenantTx,
        changes: &[Change],
    ) -> Result<Vec<Applied>, RefusedChange> {
        let mut policy = self.seen(tx);
        let applied = policy.apply_all(tx.ctx(), changes, Utc::now());
        let applied = applied.map_err(|(at, refusal)| {
            let change = at.and_then(|at| changes.get(at));
            let role = change.map_or(OWNER, |change| change.role().as_str());
            let error = refusal.into_error(role);
            RefusedChange { at, error }
        })?;
        self.stage(tx, policy);
        Ok(applied)
    }

    async fn seed_in(&self, tx: &mut TenantTx, owner: UserId) -> Result<Applied, Error> {
        let mut policy = self.seen(tx);
        let templates = lock(&self.0).templates.clone();
        let mut changed = false;
        for template in TEMPLATES {
            if policy.retired.contains(&template.key) {
                continue;
            }
            policy.roles.entry(template.key.clone()).or_insert_with(|| {
                changed = true;
                let permissions = templates.get(&template.key).cloned().unwrap_or_default();
                RoleRow {
                    is_system: true,
                    permissions,
                    ..RoleRow::named(template.name)
                }
            });
        }
        policy.members.entry(owner).or_insert(MemberRow {
            is_active: true,
            is_owner: true,
        });
        let role = (owner, RoleKey::from_static(OWNER));
        policy.assigned.entry(role).or_insert_with(|| {
            changed = true;
            None
        });
        if !changed {
            return Ok(Applied::Unchanged);
        }
        policy.epoch += 1;
        self.stage(tx, policy);
        Ok(Applied::Changed(Value::Null))
    }

    async fn may_grant_in(&self, tx: &mut TenantTx, roles: &[RoleKey]) -> Result<(), Error> {
        let (policy, now) = (self.seen(tx), Utc::now());
        for role in roles {
            let refuse = |refusal: Refusal| Err(refusal.into_error(role.as_str()));
            if !policy.roles.contains_key(role) {
                return refuse(Refusal::RoleUnknown { role: None });
            }
            if let Some(permission) = policy.lacks_of_role(&tx.ctx().into(), role, None, now) {
                return refuse(Refusal::Exceeds { permission });
            }
        }
        Ok(())
    }

    async fn assign_invited_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        invited_by: UserId,
        roles: &[RoleKey],
    ) -> Result<(), Error> {
        let mut policy = self.seen(tx);
        let (inviter, now) = (Asking::User(invited_by), Utc::now());
        for role in roles {
            let refuse = |refusal: Refusal| Err(refusal.into_error(role.as_str()));
            if !policy.roles.contains_key(role) {
                return refuse(Refusal::RoleUnknown { role: None });
            }
            if let Some(permission) = policy.lacks_of_role(&inviter, role, None, now) {
                return refuse(Refusal::Exceeds { permission });
            }
        }
        policy.members.entry(member).or_insert(MemberRow {
            is_active: true,
            is_owner: false,
        });
        policy
            .assigned
            .extend(roles.iter().map(|role| ((member, role.clone()), None)));
        policy.epoch += 1;
        self.stage(tx, policy);
        Ok(())
    }

    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        roles: &[RoleKey],
    ) -> Result<Option<RolesChange>, Error> {
        let mut policy = self.seen(tx);
        let change = policy.set_roles(tx.ctx(), member, roles, Utc::now());
        let change = change.map_err(|(role, refusal)| refusal.into_error(role.as_str()))?;
        if change.is_some() {
            self.stage(tx, policy);
        }
        Ok(change)
    }

    async fn held_in(&self, tx: &mut TenantTx, member: UserId) -> Result<Vec<HeldRole>, Error> {
        Ok(self.seen(tx).held_by(member, Utc::now()))
    }

    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<RolesChange, Error> {
        let mut policy = self.seen(tx);
        let change = policy
            .set_owner(member, is_owner, Utc::now())
            .map_err(|refusal| refusal.into_error(OWNER))?;
        self.stage(tx, policy);
        Ok(change)
    }

    async fn list_in(&self, tx: &mut TenantTx, page: &RolePage) -> Result<Vec<Role>, Error> {
        let policy = self.seen(tx);
        let behind = policy
            .roles
            .iter()
            .filter(|(key, _)| page.after.as_ref() < Some(key));
        let role = |(key, row): (&RoleKey, &RoleRow)| {
            let count = u32::try_from(policy.granted(key).len()).unwrap_or(u32::MAX);
            Role::new(key.clone(), &row.name, row.is_system, count)
        };
        Ok(behind.take(usize::from(page.limit)).map(role).collect())
    }

    async fn role_permissions_in(
        &self,
        tx: &mut TenantTx,
        role: &RoleKey,
    ) -> Result<Vec<PermissionKey>, Error> {
        let unknown = || Refusal::RoleUnknown { role: None }.into_error(role.as_str());
        let policy = self.seen(tx);
        policy.roles.get(role).ok_or_else(unknown)?;
        Ok(policy.granted(role).into_iter().collect())
    }

    async fn member_permissions_in(
        &self,
        tx: &mut TenantTx,
        user: UserId,
    ) -> Result<Vec<PermissionKey>, Error> {
        Ok(self
            .seen(tx)
            .permissions_of(user, Utc::now())
            .into_iter()
            .collect())
    }

    async fn explain_in(
        &self,
        tx: &mut TenantTx,
        user: UserId,
        permission: &PermissionKey,
    ) -> Result<Explanation, Error> {
        let (policy, now) = (self.seen(tx), Utc::now());
        let mut explanation = Explanation::new(user, permission.clone());
        explanation.is_registered = lock(&self.0).registry.contains_key(permission);
        explanation.member = match policy.members.get(&user) {
            None => MemberState::Stranger,
            Some(member) if member.is_active => MemberState::Active,
            Some(_) => MemberState::Deactivated,
        };
        for ((_, role), ends) in policy.assigned.iter().filter(|((of, _), _)| *of == user) {
            let grants = policy.granted(role).contains(permission);
            let mut grant = Grant::new(role.clone(), *ends, grants);
            grant.has_ended = ends.is_some_and(|ends| ends <= now);
            if grants {
                (grant.through, grant.wildcard) = policy.source(role, permission, true);
            }
            explanation.roles.push(grant);
        }
        explanation
            .roles
            .sort_by_key(|role| (role.has_ended, !role.grants));
        Ok(explanation)
    }

    async fn holders_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Holder>, Error> {
        let (policy, now) = (self.seen(tx), Utc::now());
        let holder = |user: &UserId| {
            let grants = |role: &RoleKey| policy.granted(role).contains(permission);
            let roles = policy.roles_of(*user, now).map(|(role, _)| role.clone());
            let roles: Vec<_> = roles.filter(grants).collect();
            (!roles.is_empty()).then(|| Holder::new(*user, roles))
        };
        let behind = policy
            .members
            .keys()
            .filter(|user| after.as_ref() < Some(user));
        Ok(behind.filter_map(holder).take(usize::from(limit)).collect())
    }
    async fn matrix_in(
        &self,
        tx: &mut TenantTx,
        page: &RolePage,
    ) -> Result<Vec<MatrixRole>, Error> {
        let policy = self.seen(tx);
        let behind = policy
            .roles
            .iter()
            .filter(|(key, _)| page.after.as_ref() < Some(key));
        let role = |(key, row): (&RoleKey, &RoleRow)| {
            let grants = policy.granted(key).into_iter().map(|permission| {
                let by_name = row.permissions.contains(&permission);
                (permission, by_name)
            });
            MatrixRole::new(key.clone(), &row.name, grants.collect())
        };
        Ok(behind.take(usize::from(page.limit)).map(role).collect())
    }

    async fn lock_in(&self, tx: &mut TenantTx) -> Result<Epoch, Error> {
        let policy = self.seen(tx);
        if policy.may_manage(tx.ctx(), Utc::now()) {
            Ok(policy.epoch)
        } else {
            Err(Refusal::Denied.into_error(OWNER))
        }
    }

    async fn policy_in(&self, tx: &mut TenantTx) -> Result<PolicyDocument, Error> {
        self.seen(tx).document(Utc::now())
    }
}

fn left(ends: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
    (ends - now).to_std().ok()
}
