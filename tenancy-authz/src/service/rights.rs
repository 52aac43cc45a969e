//! What a principal may do, for many checks in one request.

use std::{fmt, sync::Arc};

use tenancy_core::{Decision, Permission, PermissionKey, TenantCtx};

use super::registry::Registry;
use crate::{
    Error, Snapshot,
    model::{Found, by_itself},
};

/// What a principal holds in his tenant, as [`PgAuthorizer::permissions`] found it: for deciding
/// what to show, and for many checks in one request. Looking leaves no entry in the audit log; an
/// action still asks [`require`](crate::PgAuthorizer::require).
///
/// It does not change any more, so that one request sees one answer. Don't keep it beyond.
///
/// [`PgAuthorizer::permissions`]: crate::PgAuthorizer::permissions
#[derive(Clone)]
pub struct Rights {
    ctx: TenantCtx,
    held: Held,
    registry: Arc<Registry>,
}

#[derive(Clone)]
enum Held {
    /// What a service brings, or a key that no member made.
    Brought,
    /// What an API key brings, as far as the roles of its maker grant it.
    ByRolesOfMaker(Arc<Snapshot>),
    /// What roles grant to a person who acts for himself.
    ByRoles(Arc<Snapshot>),
    /// The same for one who acts for another: some permissions are closed to him.
    ByRolesOfAnother(Arc<Snapshot>),
    Nothing,
}

impl Rights {
    /// Of a principal whom no role says anything about.
    pub(super) fn brought(ctx: &TenantCtx, registry: &Arc<Registry>) -> Self {
        let held = match ctx.principal().actor.permissions() {
            Some(_) => Held::Brought,
            None => Held::Nothing,
        };
        Self {
            ctx: ctx.clone(),
            held,
            registry: registry.clone(),
        }
    }

    pub(super) fn by_roles(
        ctx: &TenantCtx,
        snapshot: Arc<Snapshot>,
        registry: &Arc<Registry>,
    ) -> Self {
        let principal = ctx.principal();
        let brings = principal.actor.permissions().is_some();
        let held = match (snapshot.is_member, brings, principal.on_behalf_of) {
            (false, _, _) => Held::Nothing,
            (true, true, _) => Held::ByRolesOfMaker(snapshot),
            (true, false, None) => Held::ByRoles(snapshot),
            (true, false, Some(_)) => Held::ByRolesOfAnother(snapshot),
        };
        Self {
            ctx: ctx.clone(),
            held,
            registry: registry.clone(),
        }
    }

    /// Whether the permission is held. Neither waits nor allocates.
    pub fn allows<P: Permission>(&self, _: P) -> bool {
        match &self.held {
            Held::ByRoles(snapshot) => {
                let bit = self.registry.known_type::<P>();
                bit.is_some_and(|bit| snapshot.permissions.contains(bit))
            }
            _ => self.allows_key(&P::KEY),
        }
    }

    /// The same for a permission whose key comes as a value.
    pub fn allows_key(&self, permission: &PermissionKey) -> bool {
        let principal = self.ctx.principal();
        let granted = |snapshot: &Snapshot| {
            let bit = self.registry.known(permission);
            bit.is_some_and(|bit| snapshot.permissions.contains(bit))
        };
        let brought = || {
            let brought = principal.actor.permissions();
            brought.is_some_and(|brought| brought.contains(permission))
        };
        match &self.held {
            Held::Brought => brought(),
            Held::ByRolesOfMaker(snapshot) => brought() && granted(snapshot),
            Held::ByRoles(snapshot) => granted(snapshot),
            Held::ByRolesOfAnother(snapshot) => {
                !principal.is_closed_to(permission) && granted(snapshot)
            }
            Held::Nothing => false,
        }
    }

    /// Those of the permissions that are held, in the order given.
    pub fn filter(&self, permissions: &[PermissionKey]) -> Vec<PermissionKey> {
        let held = permissions.iter().filter(|key| self.allows_key(key));
        held.cloned().collect()
    }

    /// Every permission that is held, sorted: for a client that hides what it can't do.
    pub fn keys(&self) -> Result<Vec<PermissionKey>, Error> {
        let principal = self.ctx.principal();
        match &self.held {
            Held::Brought | Held::ByRolesOfMaker(_) => {
                let brought = principal.actor.permissions().unwrap_or_default();
                let mut keys = self.filter(brought);
                keys.sort_unstable();
                keys.dedup();
                Ok(keys)
            }
            Held::ByRoles(snapshot) => self.registry.keys(|bit| snapshot.permissions.contains(bit)),
            Held::ByRolesOfAnother(snapshot) => {
                let mut keys = self
                    .registry
                    .keys(|bit| snapshot.permissions.contains(bit))?;
                keys.retain(|key| !principal.is_closed_to(key));
                Ok(keys)
            }
            Held::Nothing => Ok(Vec::new()),
        }
    }

    /// Whether these are the rights of the tenant and principal of `ctx`.
    pub fn covers(&self, ctx: &TenantCtx) -> bool {
        self.ctx.tenant() == ctx.tenant() && self.ctx.principal() == ctx.principal()
    }

    pub(super) fn decide(&self, permission: &PermissionKey) -> Decision {
        if let Some(decision) = by_itself(&self.ctx, permission) {
            return decision;
        }
        let found = Found {
            is_member: !matches!(self.held, Held::Nothing),
            is_registered: self.registry.known(permission).is_some(),
            is_granted: self.allows_key(permission),
        };
        found.decide(&self.ctx, permission)
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rights")
            .field("ctx", &self.ctx)
            .finish_non_exhaustive()
    }
}
