//! The rules of a tenant's policy in plain Rust: what the fake does, and what the functions of the
//! database are compared with.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tenancy_core::{Permission as _, PermissionKey, RoleKey, TenantCtx, UserId};

use crate::{
    Applied, Change, Epoch,
    model::{OWNER, Refusal},
    perm::RolesManage,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    pub(super) epoch: Epoch,
    pub(super) members: BTreeMap<UserId, MemberRow>,
    pub(super) roles: BTreeMap<RoleKey, RoleRow>,
    pub(super) retired: BTreeSet<RoleKey>,
    /// Until when; for good, if `None`.
    pub(super) assigned: BTreeMap<(UserId, RoleKey), Option<DateTime<Utc>>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MemberRow {
    pub(super) is_active: bool,
    pub(super) is_owner: bool,
}

#[derive(Clone, Debug)]
pub(super) struct RoleRow {
    pub(super) name: String,
    pub(super) is_system: bool,
    pub(super) permissions: BTreeSet<PermissionKey>,
}

impl Policy {
    /// The roles that count for a user now, with their ends.
    pub(super) fn roles_of(
        &self,
        user: UserId,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = (&RoleKey, Option<DateTime<Utc>>)> {
        let is_active = self
            .members
            .get(&user)
            .is_some_and(|member| member.is_active);
        self.assigned
            .iter()
            .filter(move |((of, _), ends)| {
                is_active && *of == user && ends.is_none_or(|ends| ends > now)
            })
            .map(|((_, role), ends)| (role, *ends))
    }

    pub(super) fn permissions_of(
        &self,
        user: UserId,
        now: DateTime<Utc>,
    ) -> BTreeSet<PermissionKey> {
        let roles = self
            .roles_of(user, now)
            .filter_map(|(role, _)| self.roles.get(role));
        roles
            .flat_map(|role| role.permissions.iter().cloned())
            .collect()
    }

    /// Makes the change, or refuses it and stays as it was.
    pub(super) fn apply(
        &mut self,
        by: &TenantCtx,
        change: &Change,
        registered: &BTreeSet<PermissionKey>,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        if self.lacks(by, [&RolesManage::KEY], now).is_some() {
            return Err(Refusal::Denied);
        }
        let mut changed = self.clone();
        let applied = match change {
            Change::Assign {
                member,
                role,
                expires_at,
            } => changed.assign(by, *member, role, *expires_at, now),
            Change::Create { role, name } => changed.create(role, name.as_str()),
            Change::Delete { role } => changed.delete(by, role, now),
            Change::Grant { role, permission } => {
                changed.set_grant(by, role, permission, (registered, None, now))
            }
            Change::Rename { role, name } => changed.rename(role, name.as_str()),
            Change::Revoke { role, permission } => {
                changed.set_grant(by, role, permission, (registered, Some(now), now))
            }
            Change::Unassign { member, role } => changed.unassign(by, *member, role, now),
        }?;
        if applied != Applied::Unchanged {
            if self.has_administrator(now) && !changed.has_administrator(now) {
                return Err(Refusal::LastAdministrator);
            }
            changed.epoch += 1;
        }
        *self = changed;
        Ok(applied)
    }

    /// Makes these the roles of a member, or refuses it and stays as it was. Every change is
    /// judged by what was so before.
    pub(super) fn set_roles(
        &mut self,
        by: &TenantCtx,
        member: UserId,
        roles: &[RoleKey],
        now: DateTime<Utc>,
    ) -> Result<Applied, (RoleKey, Refusal)> {
        let refuse = |refusal| (RoleKey::from_static(OWNER), refusal);
        if self.lacks(by, [&RolesManage::KEY], now).is_some() {
            return Err(refuse(Refusal::Denied));
        }
        self.member(member).map_err(refuse)?;
        let mut changed = self.clone();
        for role in roles {
            let judged = self.clone().assign(by, member, role, None, now);
            judged.map_err(|refusal| (role.clone(), refusal))?;
            changed.assigned.insert((member, role.clone()), None);
        }
        let had: Vec<RoleKey> = self.assigned_to(member).cloned().collect();
        for role in had.iter().filter(|role| !roles.contains(role)) {
            let judged = self.clone().unassign(by, member, role, now);
            judged.map_err(|refusal| (role.clone(), refusal))?;
            changed.assigned.remove(&(member, role.clone()));
        }
        if changed.assigned == self.assigned {
            return Ok(Applied::Unchanged);
        }
        if self.has_administrator(now) && !changed.has_administrator(now) {
            return Err(refuse(Refusal::LastAdministrator));
        }
        changed.epoch += 1;
        *self = changed;
        Ok(Applied::Changed(json!({ "roles": had })))
    }

    /// Lets the role `owner` follow the ownership of a member.
    pub(super) fn set_owner(&mut self, member: UserId, is_owner: bool) {
        let row = self.members.entry(member).or_insert(MemberRow {
            is_active: true,
            is_owner,
        });
        row.is_owner = is_owner;
        let role = (member, RoleKey::from_static(OWNER));
        if is_owner {
            self.assigned.insert(role, None);
        } else {
            self.assigned.remove(&role);
            let admin = RoleKey::from_static("admin");
            if self.assigned_to(member).next().is_none() && self.roles.contains_key(&admin) {
                self.assigned.insert((member, admin), None);
            }
        }
        self.epoch += 1;
    }

    fn assigned_to(&self, member: UserId) -> impl Iterator<Item = &RoleKey> {
        let of = move |(user, _): &&(UserId, RoleKey)| *user == member;
        self.assigned.keys().filter(of).map(|(_, role)| role)
    }

    /// Whether somebody manages roles for good.
    fn has_administrator(&self, now: DateTime<Utc>) -> bool {
        self.members.keys().any(|user| {
            self.roles_of(*user, now).any(|(role, ends)| {
                let grants = |role: &RoleRow| role.permissions.contains(&RolesManage::KEY);
                ends.is_none() && self.roles.get(role).is_some_and(grants)
            })
        })
    }

    /// The first of these that somebody does not hold for good.
    pub(super) fn lacks_for_good<'a>(
        &self,
        who: &TenantCtx,
        permissions: impl IntoIterator<Item = &'a PermissionKey>,
        now: DateTime<Utc>,
    ) -> Option<String> {
        self.lacks_until(who, permissions, None, now)
    }

    fn lacks<'a>(
        &self,
        who: &TenantCtx,
        permissions: impl IntoIterator<Item = &'a PermissionKey>,
        now: DateTime<Utc>,
    ) -> Option<String> {
        self.lacks_until(who, permissions, Some(now), now)
    }

    /// The first of these that somebody does not hold until a moment; for good, if `None`.
    fn lacks_until<'a>(
        &self,
        who: &TenantCtx,
        permissions: impl IntoIterator<Item = &'a PermissionKey>,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let mut held = BTreeSet::new();
        if let Some(user) = who.user().or(who.maker()) {
            for (role, ends) in self.roles_of(user, now) {
                let lasts = match (ends, until) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(ends), Some(until)) => ends >= until,
                };
                let row = self.roles.get(role).filter(|_| lasts);
                held.extend(row.into_iter().flat_map(|role| &role.permissions));
            }
        }
        match who.principal().actor.permissions() {
            Some(brought) if who.maker().is_some() => held.retain(|key| brought.contains(key)),
            Some(brought) => held.extend(brought),
            None => {}
        }
        permissions
            .into_iter()
            .find(|asked| !held.contains(asked))
            .map(ToString::to_string)
    }

    fn create(&mut self, role: &RoleKey, name: &str) -> Result<Applied, Refusal> {
        if self.retired.contains(role) {
            return Err(Refusal::RoleRetired);
        }
        if self.roles.contains_key(role) {
            return Err(Refusal::RoleExists);
        }
        let row = RoleRow {
            name: name.to_owned(),
            is_system: false,
            permissions: BTreeSet::new(),
        };
        self.roles.insert(role.clone(), row);
        Ok(Applied::Changed(Value::Null))
    }

    fn rename(&mut self, role: &RoleKey, name: &str) -> Result<Applied, Refusal> {
        let row = self
            .roles
            .get_mut(role)
            .ok_or(Refusal::RoleUnknown { role: None })?;
        let before = std::mem::replace(&mut row.name, name.to_owned());
        if before == name {
            return Ok(Applied::Unchanged);
        }
        Ok(Applied::Changed(json!({ "name": before })))
    }

    fn delete(
        &mut self,
        by: &TenantCtx,
        role: &RoleKey,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        let row = self.role(role)?.clone();
        if role.as_str() == OWNER {
            return Err(Refusal::RoleFixed);
        }
        if let Some(permission) = self.lacks(by, &row.permissions, now) {
            return Err(Refusal::Exceeds { permission });
        }
        self.roles.remove(role);
        self.retired.insert(role.clone());
        let members = self.assigned.len();
        self.assigned.retain(|(_, assigned), _| assigned != role);
        Ok(Applied::Changed(json!({
            "name": row.name,
            "permissions": row.permissions.iter().take(100).collect::<Vec<_>>(),
            "permission_count": row.permissions.len(),
            "member_count": members - self.assigned.len(),
        })))
    }

    /// Takes a permission away if it has to be held now, and grants it if for good.
    fn set_grant(
        &mut self,
        by: &TenantCtx,
        role: &RoleKey,
        permission: &PermissionKey,
        (registered, until, now): (
            &BTreeSet<PermissionKey>,
            Option<DateTime<Utc>>,
            DateTime<Utc>,
        ),
    ) -> Result<Applied, Refusal> {
        self.role(role)?;
        if !registered.contains(permission) {
            return Err(Refusal::PermissionUnknown);
        }
        if role.as_str() == OWNER {
            return Err(Refusal::RoleFixed);
        }
        if let Some(permission) = self.lacks_until(by, [permission], until, now) {
            return Err(Refusal::Exceeds { permission });
        }
        let row = self
            .roles
            .get_mut(role)
            .ok_or(Refusal::RoleUnknown { role: None })?;
        let changed = match until {
            None => row.permissions.insert(permission.clone()),
            Some(_) => row.permissions.remove(permission),
        };
        Ok(if changed {
            Applied::Changed(Value::Null)
        } else {
            Applied::Unchanged
        })
    }

    fn assign(
        &mut self,
        by: &TenantCtx,
        member: UserId,
        role: &RoleKey,
        expires_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        let is_owner = self.member(member)?.is_owner;
        let row = self.role(role)?;
        if expires_at.is_some_and(|ends| ends <= now) {
            return Err(Refusal::ExpiryPast);
        }
        if is_owner && role.as_str() == OWNER && expires_at.is_some() {
            return Err(Refusal::OwnerKeepsRole);
        }
        if let Some(permission) = self.lacks_until(by, &row.permissions, expires_at, now) {
            return Err(Refusal::Exceeds { permission });
        }
        match self.assigned.insert((member, role.clone()), expires_at) {
            Some(before) if before == expires_at => Ok(Applied::Unchanged),
            Some(before) => Ok(Applied::Changed(json!({ "expires_at": before }))),
            None => Ok(Applied::Changed(Value::Null)),
        }
    }

    fn unassign(
        &mut self,
        by: &TenantCtx,
        member: UserId,
        role: &RoleKey,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        let is_owner = self.member(member)?.is_owner;
        let row = self.role(role)?;
        let assignment = (member, role.clone());
        let Some(before) = self.assigned.get(&assignment) else {
            return Ok(Applied::Unchanged);
        };
        if is_owner && role.as_str() == OWNER {
            return Err(Refusal::OwnerKeepsRole);
        }
        if let Some(permission) = self.lacks(by, &row.permissions, now) {
            return Err(Refusal::Exceeds { permission });
        }
        let before = json!({ "expires_at": before });
        self.assigned.remove(&assignment);
        Ok(Applied::Changed(before))
    }

    fn member(&self, user: UserId) -> Result<&MemberRow, Refusal> {
        self.members.get(&user).ok_or(Refusal::MemberUnknown)
    }

    fn role(&self, role: &RoleKey) -> Result<&RoleRow, Refusal> {
        self.roles
            .get(role)
            .ok_or(Refusal::RoleUnknown { role: None })
    }
}
