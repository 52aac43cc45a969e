//! Policies of retention, as the operator.

use chrono::{DateTime, Utc};
use tenancy_core::{ActionKey, TenantId};
use uuid::Uuid;

use super::{retention::OwnerTx, unknown_word};
use crate::{ActionFilter, Error, RetentionPolicy};

/// How many are read at once.
const PAGE: i32 = 1_000;

/// What stands for every tenant where policies are stored, and is before all of them.
const EVERYBODY: Uuid = Uuid::nil();

#[derive(sqlx::FromRow)]
struct PolicyRow {
    /// [`EVERYBODY`], or one.
    tenant_id: Uuid,
    /// One action, `prefix%`, or empty for all.
    action: String,
    keep_days: i32,
    reason: String,
}

/// What came of setting a policy.
#[derive(Debug)]
pub(crate) enum PolicyChange {
    /// A narrower policy would keep longer than a wider one; the others of them.
    Longer(Vec<RetentionPolicy>),
    Set,
}

impl OwnerTx {
    pub(crate) async fn set_policy(
        &mut self,
        policy: &RetentionPolicy,
    ) -> Result<PolicyChange, Error> {
        let word: String = sqlx::query_scalar(include_str!("sql/set_policy.sql"))
            .bind(stored(policy.tenant))
            .bind(policy.action.as_ref().map(pattern).unwrap_or_default())
            .bind(policy.keep_days.cast_signed())
            .bind(&policy.reason)
            .fetch_one(self.conn())
            .await?;
        match word.as_str() {
            "longer" => Ok(PolicyChange::Longer(self.policies_against(policy).await?)),
            "ok" => Ok(PolicyChange::Set),
            _ => Err(unknown_word("a policy").into()),
        }
    }

    /// The policies that this one contradicts, up to six, first those that keep for longer.
    pub(crate) async fn policies_against(
        &mut self,
        policy: &RetentionPolicy,
    ) -> Result<Vec<RetentionPolicy>, Error> {
        let rows: Vec<PolicyRow> = sqlx::query_as(include_str!("sql/policies_against.sql"))
            .bind(stored(policy.tenant))
            .bind(policy.action.as_ref().map(pattern).unwrap_or_default())
            .bind(policy.keep_days.cast_signed())
            .fetch_all(self.conn())
            .await?;
        rows.into_iter().map(PolicyRow::into_policy).collect()
    }

    /// Whether there was one.
    pub(crate) async fn unset_policy(
        &mut self,
        tenant: Option<TenantId>,
        action: Option<&ActionFilter>,
    ) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/unset_policy.sql"))
            .bind(stored(tenant))
            .bind(action.map(pattern).unwrap_or_default())
            .fetch_one(self.conn())
            .await?)
    }

    /// All of them, first those for every tenant.
    pub(crate) async fn policies(&mut self) -> Result<Vec<RetentionPolicy>, Error> {
        let mut rows: Vec<PolicyRow> = Vec::new();
        loop {
            let last = rows.last();
            let more: Vec<PolicyRow> = sqlx::query_as(include_str!("sql/list_policies.sql"))
                .bind(last.map(|policy| policy.tenant_id))
                .bind(last.map(|policy| policy.action.clone()))
                .bind(PAGE)
                .fetch_all(self.conn())
                .await?;
            if more.is_empty() {
                return rows.into_iter().map(PolicyRow::into_policy).collect();
            }
            rows.extend(more);
        }
    }

    /// The next tenants behind one, or the first, whose log was ever sealed.
    pub(crate) async fn sealed_tenants(
        &mut self,
        after: Option<TenantId>,
    ) -> Result<Vec<TenantId>, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/sealed_tenants.sql"))
            .bind(stored(after))
            .bind(PAGE)
            .fetch_all(self.conn())
            .await?)
    }

    /// The next tenants behind one, or the first, with entries of before this time in the partition of no month.
    pub(crate) async fn stray_tenants(
        &mut self,
        before: DateTime<Utc>,
        after: Option<TenantId>,
    ) -> Result<Vec<TenantId>, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/stray_tenants.sql"))
            .bind(before)
            .bind(stored(after))
            .bind(PAGE)
            .fetch_all(self.conn())
            .await?)
    }
}

impl PolicyRow {
    fn into_policy(self) -> Result<RetentionPolicy, Error> {
        let action = match self.action.strip_suffix('%') {
            Some(prefix) => Some(ActionFilter::prefix(prefix)?),
            None if self.action.is_empty() => None,
            None => Some(ActionFilter::Exact(ActionKey::parse(self.action)?)),
        };
        let of_one = self.tenant_id != EVERYBODY;
        let mut policy = RetentionPolicy::new(self.keep_days.unsigned_abs(), self.reason);
        policy.tenant = of_one.then(|| TenantId::from_uuid(self.tenant_id));
        policy.action = action;
        Ok(policy)
    }
}

fn stored(tenant: Option<TenantId>) -> Uuid {
    tenant.map_or(EVERYBODY, TenantId::as_uuid)
}

/// As the database compares it: an action, or `prefix%`.
pub(super) fn pattern(action: &ActionFilter) -> String {
    match action {
        ActionFilter::Exact(action) => action.as_str().to_owned(),
        ActionFilter::Prefix(prefix) => format!("{}%", prefix.as_str()),
    }
}
