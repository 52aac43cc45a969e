//! The rules of a tenant's policy in plain Rust: what the fake does, and what the functions of the
//! database are compared with.

mod asking;
mod expansion;
mod held;
mod together;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tenancy_core::{Permission as _, PermissionKey, RoleKey, TenantCtx, UserId};

use crate::{
    Applied, Change, Epoch, Wildcard,
    model::{OWNER, Refusal},
    perm::RolesManage,
};
pub(super) use asking::Asking;

#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    pub(super) epoch: Epoch,
    pub(super) members: BTreeMap<UserId, MemberRow>,
    pub(super) roles: BTreeMap<RoleKey, RoleRow>,
    pub(super) retired: BTreeSet<RoleKey>,
    /// Until when; for good, if `None`.
    pub(super) assigned: BTreeMap<(UserId, RoleKey), Option<DateTime<Utc>>>,
    /// What anything can be granted of.
    registered: Arc<BTreeSet<PermissionKey>>,
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
    /// By name; [`Policy::granted`] is everything.
    pub(super) permissions: BTreeSet<PermissionKey>,
    pub(super) wildcards: BTreeSet<Wildcard>,
    pub(super) parents: BTreeSet<RoleKey>,
}

impl RoleRow {
    pub(super) fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_system: false,
            permissions: BTreeSet::new(),
            wildcards: BTreeSet::new(),
            parents: BTreeSet::new(),
        }
    }
}

impl Policy {
    /// A policy without a role.
    pub(super) fn of(registered: BTreeSet<PermissionKey>) -> Self {
        Self {
            registered: Arc::new(registered),
            ..Self::default()
        }
    }

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
        let roles = self.roles_of(user, now);
        roles.flat_map(|(role, _)| self.granted(role)).collect()
    }

    /// Makes the change, or refuses it and stays as it was.
    pub(super) fn apply(
        &mut self,
        by: &TenantCtx,
        change: &Change,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        if !self.may_manage(by, now) {
            return Err(Refusal::Denied);
        }
        let mut changed = self.clone();
        let by = &Asking::from(by);
        let applied = match change {
            Change::AddParent { role, parent } => changed.add_parent(by, role, parent, now),
            Change::Assign {
                member,
                role,
                expires_at,
            } => changed.assign(by, *member, role, *expires_at, now),
            Change::Clone { role, name, from } => {
                changed.clone_role(by, from, (role, name.as_str()), now)
            }
            Change::Create { role, name } => changed.create(role, name.as_str()),
            Change::Delete { role } => changed.delete(by, role, now),
            Change::Grant { role, permission } => changed.grant(by, role, permission, now),
            Change::GrantWildcard { role, wildcard } => {
                changed.grant_wildcard(by, role, wildcard, now)
            }
            Change::RemoveParent { role, parent } => changed.remove_parent(by, role, parent, now),
            Change::Rename { role, name } => changed.rename(role, name.as_str()),
            Change::Revoke { role, permission } => changed.revoke(by, role, permission, now),
            Change::RevokeWildcard { role, wildcard } => {
                changed.revoke_wildcard(by, role, wildcard, now)
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

    fn assigned_to(&self, member: UserId) -> impl Iterator<Item = &RoleKey> {
        let of = move |(user, _): &&(UserId, RoleKey)| *user == member;
        self.assigned.keys().filter(of).map(|(_, role)| role)
    }

    /// Whether somebody manages roles for good.
    fn has_administrator(&self, now: DateTime<Utc>) -> bool {
        self.members.keys().any(|user| {
            self.roles_of(*user, now).any(|(role, ends)| {
                ends.is_none() && self.granted(role).contains(&RolesManage::KEY)
            })
        })
    }

    fn create(&mut self, role: &RoleKey, name: &str) -> Result<Applied, Refusal> {
        if self.retired.contains(role) {
            return Err(Refusal::RoleRetired);
        }
        if self.roles.contains_key(role) {
            return Err(Refusal::RoleExists);
        }
        self.roles.insert(role.clone(), RoleRow::named(name));
        Ok(Applied::Changed(Value::Null))
    }

    fn rename(&mut self, role: &RoleKey, name: &str) -> Result<Applied, Refusal> {
        let row = self
            .roles
            .get_mut(role)
            .ok_or(Refusal::RoleUnknown { role: None })?;
        if role.as_str() == OWNER {
            return Err(Refusal::RoleFixed);
        }
        let before = std::mem::replace(&mut row.name, name.to_owned());
        if before == name {
            return Ok(Applied::Unchanged);
        }
        Ok(Applied::Changed(json!({ "name": before })))
    }

    fn delete(
        &mut self,
        by: &Asking,
        role: &RoleKey,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        let name = self.role(role)?.name.clone();
        if role.as_str() == OWNER {
            return Err(Refusal::RoleFixed);
        }
        let granted = self.granted(role);
        if let Some(permission) = self.lacks(by, &granted, now) {
            return Err(Refusal::Exceeds { permission });
        }
        let mut heirs = self.heirs(role);
        heirs.remove(role);
        self.roles.remove(role);
        for row in self.roles.values_mut() {
            row.parents.remove(role);
        }
        self.retired.insert(role.clone());
        let has_it = |((user, assigned), ends): (&(UserId, RoleKey), &Option<DateTime<Utc>>)| {
            (assigned == role && ends.is_none_or(|ends| ends > now)).then_some(*user)
        };
        let members: Vec<UserId> = self.assigned.iter().filter_map(has_it).collect();
        self.assigned.retain(|(_, assigned), _| assigned != role);
        Ok(Applied::Changed(json!({
            "name": name,
            "permissions": cut(granted.iter().take(250).map(PermissionKey::as_str), 7_500),
            "permission_count": granted.len(),
            "heirs": cut(heirs.iter().take(100).map(RoleKey::as_str), 4_000),
            "heir_count": heirs.len(),
            "members": members.iter().take(100).collect::<Vec<_>>(),
            "member_count": members.len(),
        })))
    }

    fn assign(
        &mut self,
        by: &Asking,
        member: UserId,
        role: &RoleKey,
        expires_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        let is_owner = self.member(member)?.is_owner;
        self.role(role)?;
        if expires_at.is_some_and(|ends| ends <= now) {
            return Err(Refusal::ExpiryPast);
        }
        if is_owner && role.as_str() == OWNER && expires_at.is_some() {
            return Err(Refusal::OwnerKeepsRole);
        }
        if let Some(permission) = self.lacks_of_role(by, role, expires_at, now) {
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
        by: &Asking,
        member: UserId,
        role: &RoleKey,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        let is_owner = self.member(member)?.is_owner;
        self.role(role)?;
        let assignment = (member, role.clone());
        let Some(before) = self.assigned.get(&assignment) else {
            return Ok(Applied::Unchanged);
        };
        if is_owner && role.as_str() == OWNER {
            return Err(Refusal::OwnerKeepsRole);
        }
        if let Some(permission) = self.lacks(by, &self.granted(role), now) {
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

/// The first that take no more bytes than this together: an entry of the audit log takes no more.
fn cut<'a>(items: impl Iterator<Item = &'a str>, bytes: usize) -> Vec<&'a str> {
    let fits = items.scan(bytes, |left, item| {
        *left = left.checked_sub(item.len())?;
        Some(item)
    });
    fits.collect()
}
