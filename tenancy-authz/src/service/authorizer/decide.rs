use async_trait::async_trait;
use tenancy_core::{
    Authorizer, Decision, DenyReason, Error, PermissionKey, RoleKey, TenantCtx, TenantTx,
};

use super::PgAuthorizer;
use crate::{Snapshot, service::cache::Key};

impl PgAuthorizer {
    async fn decide(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
    ) -> Result<Decision, crate::Error> {
        if let Some(decision) = brought_along(ctx, permission) {
            return Ok(decision);
        }
        let Some(user) = ctx.user() else {
            return Ok(Decision::Deny(DenyReason::NotAMember));
        };
        let bound = self.options.bound;
        let registered = self
            .registry
            .bit(&*self.store, ctx, permission, bound)
            .await;
        let Some(bit) = registered.map_err(|error| crate::Error::unavailable(&error))? else {
            return Ok(Decision::Deny(DenyReason::UnknownPermission));
        };
        let key = Key {
            tenant: ctx.tenant(),
            user,
        };
        if let Some(decision) = self.cache.peek(key, |snapshot| judge(snapshot, bit)) {
            return Ok(decision);
        }
        let (store, ctx) = (self.store.clone(), ctx.clone());
        let load = move |known| async move { store.snapshot(&ctx, known).await };
        Ok(judge(&*self.cache.load(key, load).await?, bit))
    }

    async fn conclude(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
        decision: Decision,
    ) -> Result<(), Error> {
        let reason = match decision {
            Decision::Allow => return Ok(()),
            Decision::Deny(reason) => reason,
            // A decision that this version does not know allows nothing.
            _ => DenyReason::NotGranted,
        };
        self.record_missing(ctx, permission, reason).await;
        Err(Error::denied(permission))
    }
}

/// What no role decides: what a service or an API key brings along, and what is closed to support.
fn brought_along(ctx: &TenantCtx, permission: &PermissionKey) -> Option<Decision> {
    if ctx.principal().is_closed_to(permission) {
        return Some(Decision::Deny(DenyReason::NotGranted));
    }
    let brought = ctx.principal().actor.permissions()?;
    let held = brought.contains(permission);
    Some(if held {
        Decision::Allow
    } else {
        Decision::Deny(DenyReason::NotGranted)
    })
}

fn judge(snapshot: &Snapshot, bit: u16) -> Decision {
    match (snapshot.is_member, snapshot.permissions.contains(bit)) {
        (true, true) => Decision::Allow,
        (true, false) => Decision::Deny(DenyReason::NotGranted),
        (false, _) => Decision::Deny(DenyReason::NotAMember),
    }
}

#[async_trait]
impl Authorizer for PgAuthorizer {
    async fn check(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<Decision, Error> {
        Ok(self.decide(ctx, permission).await?)
    }

    async fn check_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<Decision, Error> {
        if let Some(decision) = brought_along(tx.ctx(), permission) {
            return Ok(decision);
        }
        let decision = self.store.decide_in(tx, permission).await;
        Ok(decision.map_err(|error| crate::Error::unavailable(&error))?)
    }

    async fn require_key(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<(), Error> {
        let decision = self.check(ctx, permission).await?;
        self.conclude(ctx, permission, decision).await
    }

    async fn require_key_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<(), Error> {
        let decision = self.check_in(tx, permission).await?;
        let ctx = tx.ctx().clone();
        self.conclude(&ctx, permission, decision).await
    }

    async fn roles_in(&self, tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error> {
        let roles = self.store.roles_in(tx).await;
        Ok(roles.map_err(|error| crate::Error::unavailable(&error))?)
    }
}
