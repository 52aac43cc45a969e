//! Several changes as one step.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tenancy_core::{RoleKey, TenantCtx};

use super::{
    Asking, Policy,
    expansion::{MAX_PARENTS, MAX_WILDCARDS, exceeds},
};
use crate::{
    Applied, Change,
    model::{MAX_DEPTH, Refusal},
};

const MAX_ASSIGNED: usize = 200;
const MAX_ROLES: usize = 20_000;

/// Which change is in the way, if it is one of them alone.
type Refused = (Option<usize>, Refusal);

impl Policy {
    /// Makes all changes, or none: judged by what was held before, and by what is so after.
    pub(crate) fn apply_all(
        &mut self,
        by: &TenantCtx,
        changes: &[Change],
        now: DateTime<Utc>,
    ) -> Result<Vec<Applied>, Refused> {
        if !self.may_manage(by, now) {
            return Err((None, Refusal::Denied));
        }
        let (by, mut after) = (Asking::from(by), self.clone());
        for (at, change) in changes.iter().enumerate() {
            self.may_take(&by, change, now)
                .map_err(|refusal| (Some(at), refusal))?;
        }
        let mut applied = vec![Applied::Unchanged; changes.len()];
        let mut order: Vec<_> = changes.iter().enumerate().collect();
        order.sort_by_key(|(_, change)| turn(change));
        for (at, change) in order {
            let made = after
                .make(change, now)
                .map_err(|refusal| (Some(at), refusal))?;
            if let Some(place) = applied.get_mut(at) {
                *place = made;
            }
        }
        for (at, change) in changes.iter().enumerate() {
            after
                .is_above_nothing_below(change)
                .map_err(|refusal| (Some(at), refusal))?;
        }
        for (at, change) in changes.iter().enumerate() {
            after
                .is_within_limits(change)
                .map_err(|refusal| (Some(at), refusal))?;
            self.may_give(&after, &by, change, now)
                .map_err(|refusal| (Some(at), refusal))?;
            if let Some(Applied::Changed(before)) = applied.get_mut(at) {
                self.tell(&after, change, before);
            }
        }
        if self.has_administrator(now) && !after.has_administrator(now) {
            return Err((None, Refusal::LastAdministrator));
        }
        if applied.iter().any(|made| *made != Applied::Unchanged) {
            after.epoch += 1;
        }
        *self = after;
        Ok(applied)
    }

    /// Puts right what was noted in the middle: how it was before all, and is after all.
    fn tell(&self, after: &Self, change: &Change, before: &mut Value) {
        match change {
            Change::Grant { role, permission } => {
                *before = json!({ "granted": self.granted(role).contains(permission) });
            }
            Change::Revoke { role, permission } => {
                let (through, wildcard) = after.source(role, permission, false);
                let by = through.map(|role| role.to_string());
                let by = by.or_else(|| wildcard.map(|wildcard| wildcard.to_string()));
                *before = json!({ "granted": true, "still_by": by });
            }
            _ => {}
        }
    }

    /// Who takes holds what is taken: by the rules for a single change, before any is made.
    fn may_take(&self, by: &Asking, change: &Change, now: DateTime<Utc>) -> Result<(), Refusal> {
        let lacking = match change {
            Change::Delete { role } | Change::Unassign { role, .. } => {
                self.lacks(by, &self.granted(role), now)
            }
            Change::RemoveParent { parent, .. } => self.lacks(by, &self.granted(parent), now),
            Change::Revoke { permission, .. } => self.lacks(by, [permission], now),
            Change::RevokeWildcard { wildcard, .. } => self.lacks(by, &self.matched(wildcard), now),
            _ => None,
        };
        exceeds(lacking)
    }

    /// What is given after all is done was held before: `self` is how it was.
    fn may_give(
        &self,
        after: &Self,
        by: &Asking,
        change: &Change,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let whole = |role: &RoleKey, until| {
            let granted = after.granted(role);
            let all = after.grants_all(role).then(|| "*".to_owned());
            self.lacks_until(by, &granted, until, now)
                .or_else(|| all.filter(|_| !self.has_all(by, until, now)))
                .or_else(|| self.lacks_wildcard(by, &after.wildcards(role), until, now))
        };
        exceeds(match change {
            Change::AddParent { parent, .. } => whole(parent, None),
            Change::Assign {
                role, expires_at, ..
            } => whole(role, *expires_at),
            Change::Clone { role, .. } => whole(role, None),
            Change::Grant { permission, .. } => self.lacks_until(by, [permission], None, now),
            Change::GrantWildcard { wildcard, .. } => {
                let asked = BTreeSet::from([wildcard.clone()]);
                self.lacks_until(by, &self.matched(wildcard), None, now)
                    .or_else(|| self.lacks_wildcard(by, &asked, None, now))
            }
            _ => None,
        })
    }

    /// Makes one change, by none of the rules but those that need nothing beside it.
    fn make(&mut self, change: &Change, now: DateTime<Utc>) -> Result<Applied, Refusal> {
        let anybody = &Asking::Anybody;
        match change {
            Change::AddParent { role, parent } => self.put_parent(role, parent),
            Change::Assign {
                member,
                role,
                expires_at,
            } => self.assign(anybody, *member, role, *expires_at, now),
            Change::Clone { role, name, from } => {
                self.clone_role(anybody, from, (role, name.as_str()), now)
            }
            Change::Create { role, name } => self.create(role, name.as_str()),
            Change::Delete { role } => self.delete(anybody, role, now),
            Change::Grant { role, permission } => self.grant(anybody, role, permission, now),
            Change::GrantWildcard { role, wildcard } => self.put_wildcard(role, wildcard),
            Change::RemoveParent { role, parent } => self.remove_parent(anybody, role, parent, now),
            Change::Rename { role, name } => self.rename(role, name.as_str()),
            Change::Revoke { role, permission } => self.revoke(anybody, role, permission, now),
            Change::RevokeWildcard { role, wildcard } => {
                self.revoke_wildcard(anybody, role, wildcard, now)
            }
            Change::Unassign { member, role } => self.unassign(anybody, *member, role, now),
        }
    }

    fn is_above_nothing_below(&self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::AddParent { role, parent } if self.above(parent).contains_key(role) => {
                let parent = parent.to_string();
                Err(Refusal::ParentCycle { parent })
            }
            _ => Ok(()),
        }
    }

    /// Whether a change left its role or member within the limits, where no parents stand in a circle.
    fn is_within_limits(&self, change: &Change) -> Result<(), Refusal> {
        let row = self.roles.get(change.role());
        let (wildcards, parents) =
            row.map_or((0, 0), |row| (row.wildcards.len(), row.parents.len()));
        Err(match change {
            Change::Assign { member, .. } if self.assigned_to(*member).count() > MAX_ASSIGNED => {
                Refusal::TooManyAssignments
            }
            Change::GrantWildcard { .. } if wildcards > MAX_WILDCARDS => Refusal::TooManyWildcards,
            Change::Create { .. } | Change::Clone { .. } if self.roles.len() > MAX_ROLES => {
                Refusal::TooManyRoles
            }
            Change::AddParent { .. } if parents > MAX_PARENTS => Refusal::TooManyParents,
            Change::AddParent { role, parent }
                if self.depth(role) + 1 + self.height(parent) > MAX_DEPTH =>
            {
                Refusal::ParentsTooDeep
            }
            _ => return Ok(()),
        })
    }
}

/// What is made comes first, then what is taken, then what is given.
fn turn(change: &Change) -> u8 {
    match change {
        Change::Create { .. } => 0,
        Change::Clone { .. } => 1,
        Change::Rename { .. } => 2,
        Change::RemoveParent { .. } => 3,
        Change::Revoke { .. } => 4,
        Change::RevokeWildcard { .. } => 5,
        Change::Unassign { .. } => 6,
        Change::Delete { .. } => 7,
        Change::Grant { .. } => 8,
        Change::GrantWildcard { .. } => 9,
        Change::AddParent { .. } => 10,
        Change::Assign { .. } => 11,
    }
}
