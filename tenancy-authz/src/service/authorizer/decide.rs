use std::sync::Arc;

use async_trait::async_trait;
use tenancy_core::{
    Authorizer, Decision, DenyReason, Error, PermissionKey, RoleKey, TenantCtx, TenantTx, UserId,
};

use super::PgAuthorizer;
use crate::{
    Snapshot,
    model::{Found, by_itself},
    service::cache::Key,
};

impl PgAuthorizer {
    async fn decide(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
    ) -> Result<Decision, crate::Error> {
        if let Some(decision) = by_itself(ctx, permission) {
            return Ok(decision);
        }
        let Some(user) = ctx.user().or(ctx.maker()) else {
            return Ok(Decision::Deny(DenyReason::NotAMember));
        };
        let bound = self.options.bound;
        let registered = self
            .registry
            .bit(&*self.store, ctx, permission, bound)
            .await;
        let bit = registered.map_err(|error| crate::Error::unavailable(&error))?;
        let snapshot = self.snapshot(ctx, user).await?;
        Ok(found(&snapshot, bit).decide(ctx, permission))
    }

    /// From memory, or loaded.
    pub(super) async fn snapshot(
        &self,
        ctx: &TenantCtx,
        user: UserId,
    ) -> Result<Arc<Snapshot>, crate::Error> {
        let key = Key {
            tenant: ctx.tenant(),
            user,
        };
        if let Some(snapshot) = self.cache.get(key) {
            return Ok(snapshot);
        }
        let (store, ctx) = (self.store.clone(), ctx.clone());
        let load = move |known| async move { store.snapshot(&ctx, known).await };
        self.cache.load(key, load).await
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
        Err(Error::refused(permission, reason))
    }
}

/// What a snapshot says of the permission that has this bit, or none if nobody registered it.
pub(super) fn found(snapshot: &Snapshot, bit: Option<u16>) -> Found {
    Found {
        is_member: snapshot.is_member,
        is_registered: bit.is_some(),
        is_granted: bit.is_some_and(|bit| snapshot.permissions.contains(bit)),
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
        if let Some(decision) = by_itself(tx.ctx(), permission) {
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
