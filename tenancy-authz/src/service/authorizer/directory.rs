use async_trait::async_trait;
use tenancy_core::{Error, RoleDirectory, RoleKey, TenantCtx, TenantTx, UserId};

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
