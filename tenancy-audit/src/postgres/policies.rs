//! Policies of retention, as the operator.

use tenancy_core::TenantId;
use uuid::Uuid;

use super::retention::Removing;
use crate::Error;

/// How many are read at once.
const PAGE: i32 = 1_000;

#[derive(sqlx::FromRow)]
pub(crate) struct PolicyRow {
    /// Nil for every tenant.
    pub(crate) tenant_id: Uuid,
    /// One action, `prefix%`, or empty for all.
    pub(crate) action: String,
    pub(crate) keep_days: i32,
    pub(crate) reason: String,
}

impl Removing {
    /// The database's word for what came of it.
    pub(crate) async fn set_policy(&mut self, policy: &PolicyRow) -> Result<String, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/set_policy.sql"))
            .bind(policy.tenant_id)
            .bind(&policy.action)
            .bind(policy.keep_days)
            .bind(&policy.reason)
            .fetch_one(self.conn())
            .await?)
    }

    /// Whether there was one.
    pub(crate) async fn unset_policy(&mut self, tenant: Uuid, action: &str) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/unset_policy.sql"))
            .bind(tenant)
            .bind(action)
            .fetch_one(self.conn())
            .await?)
    }

    /// The next ones behind one, or the first.
    pub(crate) async fn policies(
        &mut self,
        after: Option<&PolicyRow>,
    ) -> Result<Vec<PolicyRow>, Error> {
        Ok(sqlx::query_as(include_str!("sql/list_policies.sql"))
            .bind(after.map(|policy| policy.tenant_id))
            .bind(after.map(|policy| policy.action.as_str()))
            .bind(PAGE)
            .fetch_all(self.conn())
            .await?)
    }

    /// The next tenants behind one whose log was ever sealed.
    pub(crate) async fn sealed_tenants(&mut self, after: TenantId) -> Result<Vec<TenantId>, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/sealed_tenants.sql"))
            .bind(after)
            .bind(PAGE)
            .fetch_all(self.conn())
            .await?)
    }
}
