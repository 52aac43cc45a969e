//! What a role grants by name, by wildcards, and from its parents.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tenancy_core::{PermissionKey, RoleKey};

use super::{Asking, Policy, RoleRow};
use crate::{
    Applied, Error, GrantKey, PolicyDocument, RoleDocument, RoleName, Wildcard,
    model::{MAX_DEPTH, OWNER, Refusal},
};

pub(super) const MAX_PARENTS: usize = 20;
pub(super) const MAX_WILDCARDS: usize = 100;

impl Policy {
    /// Everything that a role grants.
    pub(crate) fn granted(&self, role: &RoleKey) -> BTreeSet<PermissionKey> {
        let mut granted = BTreeSet::new();
        for above in self.above(role).keys() {
            let Some(row) = self.roles.get(above) else {
                continue;
            };
            granted.extend(row.permissions.iter().cloned());
            let covered = |key: &&PermissionKey| row.wildcards.iter().any(|w| w.covers(key));
            granted.extend(self.registered.iter().filter(covered).cloned());
        }
        granted
    }

    /// The wildcards that a role has, itself or from its parents.
    pub(super) fn wildcards(&self, role: &RoleKey) -> BTreeSet<Wildcard> {
        let above = self.above(role);
        let rows = above.keys().filter_map(|above| self.roles.get(above));
        rows.flat_map(|row| row.wildcards.iter().cloned()).collect()
    }

    /// By what a role grants a permission: the nearest parent that does, and the wildcard.
    pub(crate) fn source(
        &self,
        role: &RoleKey,
        permission: &PermissionKey,
        by_name: bool,
    ) -> (Option<RoleKey>, Option<Wildcard>) {
        let mut found = Vec::new();
        for (above, depth) in self.above(role) {
            let Some(row) = self.roles.get(&above) else {
                continue;
            };
            if row.permissions.contains(permission) && (by_name || depth > 0) {
                found.push((depth, None, above.clone()));
            }
            let covering = row.wildcards.iter().filter(|w| w.covers(permission));
            found.extend(covering.map(|w| (depth, Some(w.clone()), above.clone())));
        }
        found.sort();
        match found.into_iter().next() {
            None => (None, None),
            Some((depth, wildcard, above)) => ((depth > 0).then_some(above), wildcard),
        }
    }

    /// A role and those above it, each with how far above it is at least.
    pub(super) fn above(&self, role: &RoleKey) -> BTreeMap<RoleKey, usize> {
        let mut found = BTreeMap::from([(role.clone(), 0)]);
        let mut level = vec![role.clone()];
        for depth in 1.. {
            let rows = level.iter().filter_map(|role| self.roles.get(role));
            let next: BTreeSet<RoleKey> =
                rows.flat_map(|row| row.parents.iter().cloned()).collect();
            level = next
                .into_iter()
                .filter(|role| !found.contains_key(role))
                .collect();
            if level.is_empty() {
                break;
            }
            found.extend(level.iter().map(|role| (role.clone(), depth)));
        }
        found
    }

    /// A role and those that have it above themselves.
    pub(super) fn heirs(&self, role: &RoleKey) -> BTreeSet<RoleKey> {
        let below = |key: &&RoleKey| self.above(key).contains_key(role);
        let heirs = self.roles.keys().filter(below).cloned();
        heirs.chain([role.clone()]).collect()
    }

    /// How many roles stand above a role at most, one over the other.
    pub(super) fn height(&self, role: &RoleKey) -> usize {
        let parents = self
            .roles
            .get(role)
            .into_iter()
            .flat_map(|row| &row.parents);
        parents
            .map(|parent| 1 + self.height(parent))
            .max()
            .unwrap_or(0)
    }

    /// How many stand below it.
    pub(super) fn depth(&self, role: &RoleKey) -> usize {
        let heirs = self
            .roles
            .iter()
            .filter(|(_, row)| row.parents.contains(role));
        heirs
            .map(|(heir, _)| 1 + self.depth(heir))
            .max()
            .unwrap_or(0)
    }

    pub(super) fn grant(
        &mut self,
        by: &Asking,
        role: &RoleKey,
        permission: &PermissionKey,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        self.may_touch(role, self.registered.contains(permission))?;
        exceeds(self.lacks_until(by, [permission], None, now))?;
        let before = json!({ "granted": self.granted(role).contains(permission) });
        let added = self.row(role)?.permissions.insert(permission.clone());
        Ok(applied(added, before))
    }

    pub(super) fn revoke(
        &mut self,
        by: &Asking,
        role: &RoleKey,
        permission: &PermissionKey,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        self.may_touch(role, self.registered.contains(permission))?;
        exceeds(self.lacks(by, [permission], now))?;
        let (through, wildcard) = self.source(role, permission, false);
        let otherwise = through
            .map(|role| role.to_string())
            .or_else(|| wildcard.map(|wildcard| wildcard.to_string()));
        if self.row(role)?.permissions.remove(permission) {
            let before = json!({ "granted": true, "still_by": otherwise });
            return Ok(Applied::Changed(before));
        }
        match otherwise {
            Some(by) => Err(Refusal::GrantedOtherwise { by }),
            None => Ok(Applied::Unchanged),
        }
    }

    pub(super) fn grant_wildcard(
        &mut self,
        by: &Asking,
        role: &RoleKey,
        wildcard: &Wildcard,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        let matched = self.matched(wildcard);
        self.may_touch(role, !matched.is_empty())?;
        let asked = BTreeSet::from([wildcard.clone()]);
        let lacking = self.lacks_until(by, &matched, None, now);
        exceeds(lacking.or_else(|| self.lacks_wildcard(by, &asked, None, now)))?;
        let row = self.row(role)?;
        if !row.wildcards.contains(wildcard) && row.wildcards.len() >= MAX_WILDCARDS {
            return Err(Refusal::TooManyWildcards);
        }
        self.put_wildcard(role, wildcard)
    }

    /// Grants a wildcard, whoever asks and however many there are.
    pub(super) fn put_wildcard(
        &mut self,
        role: &RoleKey,
        wildcard: &Wildcard,
    ) -> Result<Applied, Refusal> {
        self.may_touch(role, !self.matched(wildcard).is_empty())?;
        let added = self.row(role)?.wildcards.insert(wildcard.clone());
        Ok(applied(added, json!({ "granted": false })))
    }

    pub(super) fn revoke_wildcard(
        &mut self,
        by: &Asking,
        role: &RoleKey,
        wildcard: &Wildcard,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        self.may_touch(role, true)?;
        exceeds(self.lacks(by, &self.matched(wildcard), now))?;
        let removed = self.row(role)?.wildcards.remove(wildcard);
        Ok(applied(removed, json!({ "granted": true })))
    }

    pub(super) fn add_parent(
        &mut self,
        by: &Asking,
        role: &RoleKey,
        parent: &RoleKey,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        self.may_be_parent(role, parent)?;
        if self.above(parent).contains_key(role) {
            let parent = parent.to_string();
            return Err(Refusal::ParentCycle { parent });
        }
        exceeds(self.lacks_of_role(by, parent, None, now))?;
        let parents = &self.row(role)?.parents;
        if parents.contains(parent) {
            return Ok(Applied::Unchanged);
        }
        if parents.len() >= MAX_PARENTS {
            return Err(Refusal::TooManyParents);
        }
        if self.depth(role) + 1 + self.height(parent) > MAX_DEPTH {
            return Err(Refusal::ParentsTooDeep);
        }
        self.put_parent(role, parent)
    }

    /// Puts a role above another one, wherever it stands.
    pub(super) fn put_parent(
        &mut self,
        role: &RoleKey,
        parent: &RoleKey,
    ) -> Result<Applied, Refusal> {
        self.may_be_parent(role, parent)?;
        let added = self.row(role)?.parents.insert(parent.clone());
        Ok(applied(added, json!({ "parent": false })))
    }

    fn may_be_parent(&self, role: &RoleKey, parent: &RoleKey) -> Result<(), Refusal> {
        if let Some(unknown) = [role, parent]
            .into_iter()
            .filter(|key| !self.roles.contains_key(key))
            .min()
        {
            let role = Some(unknown.to_string());
            return Err(Refusal::RoleUnknown { role });
        }
        if role.as_str() == OWNER || parent.as_str() == OWNER {
            return Err(Refusal::RoleFixed);
        }
        Ok(())
    }

    pub(super) fn remove_parent(
        &mut self,
        by: &Asking,
        role: &RoleKey,
        parent: &RoleKey,
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        self.may_touch(role, true)?;
        exceeds(self.lacks(by, &self.granted(parent), now))?;
        let removed = self.row(role)?.parents.remove(parent);
        Ok(applied(removed, json!({ "parent": true })))
    }

    pub(super) fn clone_role(
        &mut self,
        by: &Asking,
        from: &RoleKey,
        (role, name): (&RoleKey, &str),
        now: DateTime<Utc>,
    ) -> Result<Applied, Refusal> {
        let unknown = || Refusal::RoleUnknown {
            role: Some(from.to_string()),
        };
        let cloned = self.roles.get(from).cloned().ok_or_else(unknown)?;
        exceeds(self.lacks_of_role(by, from, None, now))?;
        self.create(role, name)?;
        let made = RoleRow {
            name: name.to_owned(),
            is_system: false,
            ..cloned
        };
        self.roles.insert(role.clone(), made);
        Ok(Applied::Changed(Value::Null))
    }

    /// The policy as people edit it.
    pub(crate) fn document(&self, now: DateTime<Utc>) -> Result<PolicyDocument, Error> {
        let mut document = PolicyDocument {
            epoch: Some(self.epoch),
            ..PolicyDocument::default()
        };
        for (key, row) in self.roles.iter().filter(|(key, _)| key.as_str() != OWNER) {
            let mut role = RoleDocument::new(RoleName::parse(&row.name)?);
            role.grants
                .extend(row.permissions.iter().cloned().map(GrantKey::Permission));
            role.grants
                .extend(row.wildcards.iter().cloned().map(GrantKey::Wildcard));
            role.parents.clone_from(&row.parents);
            document.roles.insert(key.clone(), role);
        }
        for ((user, role), ends) in &self.assigned {
            if ends.is_none_or(|ends| ends > now) {
                let roles = document.members.entry(*user).or_default();
                roles.insert(role.clone(), *ends);
            }
        }
        Ok(document)
    }

    pub(super) fn matched(&self, wildcard: &Wildcard) -> BTreeSet<PermissionKey> {
        let covered = self.registered.iter().filter(|key| wildcard.covers(key));
        covered.cloned().collect()
    }

    fn may_touch(&self, role: &RoleKey, is_registered: bool) -> Result<(), Refusal> {
        self.role(role)?;
        match (is_registered, role.as_str() == OWNER) {
            (false, _) => Err(Refusal::PermissionUnknown),
            (true, true) => Err(Refusal::RoleFixed),
            (true, false) => Ok(()),
        }
    }

    fn row(&mut self, role: &RoleKey) -> Result<&mut RoleRow, Refusal> {
        let unknown = Refusal::RoleUnknown { role: None };
        self.roles.get_mut(role).ok_or(unknown)
    }
}

pub(super) fn exceeds(lacking: Option<String>) -> Result<(), Refusal> {
    match lacking {
        Some(permission) => Err(Refusal::Exceeds { permission }),
        None => Ok(()),
    }
}

fn applied(changed: bool, before: Value) -> Applied {
    if changed {
        Applied::Changed(before)
    } else {
        Applied::Unchanged
    }
}
