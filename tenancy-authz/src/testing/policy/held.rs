//! All roles of a member at once, and the role `owner` that follows ownership.

use chrono::{DateTime, Utc};
use tenancy_core::{HeldRole, RoleKey, RolesChange, TenantCtx, UserId};

use super::{Asking, MemberRow, Policy};
use crate::model::{OWNER, Refusal};

impl Policy {
    /// Makes these the roles of a member, or refuses it and stays as it was. Every change is
    /// judged by what was so before.
    pub(in super::super) fn set_roles(
        &mut self,
        by: &TenantCtx,
        member: UserId,
        roles: &[RoleKey],
        now: DateTime<Utc>,
    ) -> Result<Option<RolesChange>, (RoleKey, Refusal)> {
        let refuse = |refusal| (RoleKey::from_static(OWNER), refusal);
        if !self.may_manage(by, now) {
            return Err(refuse(Refusal::Denied));
        }
        let by = &Asking::from(by);
        self.member(member).map_err(refuse)?;
        let mut changed = self.clone();
        for role in roles {
            let judged = self.clone().assign(by, member, role, None, now);
            judged.map_err(|refusal| (role.clone(), refusal))?;
            changed.assigned.insert((member, role.clone()), None);
        }
        let before = self.held_by(member, now);
        for HeldRole { role, .. } in &before {
            if !roles.contains(role) {
                let judged = self.clone().unassign(by, member, role, now);
                judged.map_err(|refusal| (role.clone(), refusal))?;
            }
        }
        let stays = |(of, role): &(UserId, RoleKey)| *of != member || roles.contains(role);
        changed.assigned.retain(|assigned, _| stays(assigned));
        let after = changed.held_by(member, now);
        if after == before {
            return Ok(None);
        }
        if self.has_administrator(now) && !changed.has_administrator(now) {
            return Err(refuse(Refusal::LastAdministrator));
        }
        changed.epoch += 1;
        *self = changed;
        Ok(Some(RolesChange::new(before, after)))
    }

    /// Lets the role `owner` follow the ownership of a member, or refuses it and stays as it was.
    pub(in super::super) fn set_owner(
        &mut self,
        member: UserId,
        is_owner: bool,
        now: DateTime<Utc>,
    ) -> Result<RolesChange, Refusal> {
        let before = self.held_by(member, now);
        let mut changed = self.clone();
        let row = changed.members.entry(member).or_insert(MemberRow {
            is_active: true,
            is_owner,
        });
        row.is_owner = is_owner;
        let role = (member, RoleKey::from_static(OWNER));
        if is_owner {
            changed.assigned.insert(role, None);
        } else {
            let had = changed.assigned.remove(&role).is_some();
            let admin = RoleKey::from_static("admin");
            let has_none = changed.held_by(member, now).is_empty();
            if had && has_none && changed.roles.contains_key(&admin) {
                changed.assigned.insert((member, admin), None);
            }
            if !changed.has_administrator(now) {
                return Err(Refusal::LastAdministrator);
            }
        }
        changed.epoch += 1;
        *self = changed;
        Ok(RolesChange::new(before, self.held_by(member, now)))
    }

    /// The roles that a member has, whatever his state, without those that have ended.
    pub(in super::super) fn held_by(&self, member: UserId, now: DateTime<Utc>) -> Vec<HeldRole> {
        let held = |((of, role), ends): (&(UserId, RoleKey), &Option<DateTime<Utc>>)| {
            let has = *of == member && ends.is_none_or(|ends| ends > now);
            has.then(|| HeldRole::new(role.clone(), *ends))
        };
        self.assigned.iter().filter_map(held).collect()
    }
}
