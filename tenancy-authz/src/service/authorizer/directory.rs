use async_trait::async_trait;
use serde_json::Value;
use tenancy_core::{Error, RoleDirectory, RoleKey, TenantCtx, TenantTx, UserId};

use super::PgAuthorizer;
use crate::Applied;

impl PgAuthorizer {
    /// Hands on what the store said, after putting a refusal on record.
    async fn told<T: Send>(
        &self,
        ctx: &TenantCtx,
        roles: &[RoleKey],
        said: Result<T, crate::Error>,
    ) -> Result<T, Error> {
        if let Err(error) = &said {
            self.record_refusal(ctx, roles, error).await;
        }
        Ok(said?)
    }
}

#[async_trait]
impl RoleDirectory for PgAuthorizer {
    async fn seed_in(&self, tx: &mut TenantTx, owner: UserId) -> Result<(), Error> {
        self.store.seed_in(tx, owner).await?;
        self.forget_after(tx);
        Ok(())
    }

    async fn may_grant_in(&self, tx: &mut TenantTx, roles: &[RoleKey]) -> Result<(), Error> {
        let ctx = tx.ctx().clone();
        let said = self.store.may_grant_in(tx, roles).await;
        self.told(&ctx, roles, said).await
    }

    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        roles: &[RoleKey],
    ) -> Result<Option<Vec<RoleKey>>, Error> {
        let ctx = tx.ctx().clone();
        let said = self.store.set_roles_in(tx, member, roles).await;
        let Applied::Changed(before) = self.told(&ctx, roles, said).await? else {
            return Ok(None);
        };
        self.forget_after(tx);
        let before = before.get("roles").and_then(Value::as_array);
        let keys = before.into_iter().flatten().filter_map(Value::as_str);
        Ok(Some(keys.map(RoleKey::parse).collect::<Result<_, _>>()?))
    }

    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<(), Error> {
        self.store.set_owner_in(tx, member, is_owner).await?;
        self.forget_after(tx);
        Ok(())
    }

    async fn assign_invited_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        invited_by: UserId,
        roles: &[RoleKey],
    ) -> Result<(), Error> {
        let ctx = tx.ctx().clone();
        let said = self
            .store
            .assign_invited_in(tx, member, invited_by, roles)
            .await;
        self.told(&ctx, roles, said).await?;
        self.forget_after(tx);
        Ok(())
    }
}
