//! What somebody holds, and for how long.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use tenancy_core::{Permission as _, PermissionKey, RoleKey, TenantCtx, UserId};

use super::Policy;
use crate::{Wildcard, model::ALL_PERMISSIONS, perm::RolesManage};

/// Who wants to change something.
pub(crate) enum Asking {
    /// Somebody who was asked already.
    Anybody,
    /// By his roles.
    User(UserId),
    /// A service, by exactly these; an API key, as far as its maker holds them.
    Brought(BTreeSet<PermissionKey>, Option<UserId>),
}

impl From<&TenantCtx> for Asking {
    fn from(ctx: &TenantCtx) -> Self {
        if let Some(user) = ctx.user() {
            return Self::User(user);
        }
        let brought = ctx.principal().actor.permissions();
        let brought = brought.into_iter().flatten().cloned().collect();
        Self::Brought(brought, ctx.maker())
    }
}

impl Policy {
    pub(crate) fn may_manage(&self, who: &TenantCtx, now: DateTime<Utc>) -> bool {
        self.lacks(&who.into(), [&RolesManage::KEY], now).is_none()
    }

    /// The first of these that somebody does not hold now.
    pub(super) fn lacks<'a>(
        &self,
        who: &Asking,
        permissions: impl IntoIterator<Item = &'a PermissionKey>,
        now: DateTime<Utc>,
    ) -> Option<String> {
        self.lacks_until(who, permissions, Some(now), now)
    }

    /// The first of these that somebody does not hold until a moment; for good, if `None`.
    pub(super) fn lacks_until<'a>(
        &self,
        who: &Asking,
        permissions: impl IntoIterator<Item = &'a PermissionKey>,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let held: BTreeSet<_> = match who {
            Asking::Anybody => return None,
            Asking::Brought(brought, None) => brought.clone(),
            Asking::Brought(brought, Some(maker)) => {
                let held = self.held(*maker, until, now);
                brought.intersection(&held).cloned().collect()
            }
            Asking::User(user) => self.held(*user, until, now),
        };
        permissions
            .into_iter()
            .find(|asked| !held.contains(asked))
            .map(ToString::to_string)
    }

    /// Whether a role is given every permission there will be, itself or by a parent.
    pub(super) fn grants_all(&self, role: &RoleKey) -> bool {
        self.above(role).keys().any(|above| {
            let row = self.roles.get(above).filter(|row| row.is_system);
            row.is_some() && ALL_PERMISSIONS.contains(&above.as_str())
        })
    }

    /// The first of these wildcards that somebody does not have until a moment.
    pub(super) fn lacks_wildcard(
        &self,
        who: &Asking,
        wildcards: &BTreeSet<Wildcard>,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<String> {
        if self.has_all(who, until, now) {
            return None;
        }
        let mut held = BTreeSet::new();
        if let Asking::User(user) = who {
            for role in self.lasting(*user, until, now) {
                held.extend(self.wildcards(role));
            }
        }
        wildcards
            .iter()
            .find(|asked| !held.iter().any(|held| held.includes(asked)))
            .map(ToString::to_string)
    }

    /// What of a role somebody does not hold: a permission, or a wildcard.
    pub(crate) fn lacks_of_role(
        &self,
        who: &Asking,
        role: &RoleKey,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let lacks_all = self.grants_all(role) && !self.has_all(who, until, now);
        self.lacks_until(who, &self.granted(role), until, now)
            .or_else(|| lacks_all.then(|| "*".to_owned()))
            .or_else(|| self.lacks_wildcard(who, &self.wildcards(role), until, now))
    }

    /// Whether somebody is given every permission there will be, until a moment.
    pub(super) fn has_all(
        &self,
        who: &Asking,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        match who {
            Asking::Anybody => true,
            Asking::Brought(..) => false,
            Asking::User(user) => self
                .lasting(*user, until, now)
                .any(|held| self.grants_all(held)),
        }
    }

    fn held(
        &self,
        user: UserId,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> BTreeSet<PermissionKey> {
        let lasting = self.lasting(user, until, now);
        lasting.flat_map(|role| self.granted(role)).collect()
    }

    /// The roles of a user that do not end before a moment.
    fn lasting(
        &self,
        user: UserId,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = &RoleKey> {
        let lasts = move |ends: Option<DateTime<Utc>>| match (ends, until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ends), Some(until)) => ends >= until,
        };
        let roles = self.roles_of(user, now);
        roles
            .filter(move |(_, ends)| lasts(*ends))
            .map(|(role, _)| role)
    }
}
