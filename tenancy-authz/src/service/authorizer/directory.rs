use async_trait::async_trait;
use tenancy_core::{
    Error, HeldRole, RoleDirectory, RoleKey, RolesChange, TenantCtx, TenantTx, UserId,
};

use super::PgAuthorizer;

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
    ) -> Result<Option<RolesChange>, Error> {
        let ctx = tx.ctx().clone();
        let said = self.store.set_roles_in(tx, member, roles).await;
        let change = self.told(&ctx, roles, said).await?;
        if change.is_some() {
            self.forget_after(tx);
        }
        Ok(change)
    }

    async fn held_in(&self, tx: &mut TenantTx, member: UserId) -> Result<Vec<HeldRole>, Error> {
        Ok(self.store.held_in(tx, member).await?)
    }

    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<Option<RolesChange>, Error> {
        let change = self.store.set_owner_in(tx, member, is_owner).await?;
        self.forget_after(tx);
        Ok(Some(change))
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
