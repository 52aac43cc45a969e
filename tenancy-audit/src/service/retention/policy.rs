//! How long entries are kept, as data.

use chrono::{DateTime, TimeDelta, Utc};
use tenancy_core::{OperatorDb, TenantId};

use super::{RetentionRule, check_reason};
use crate::{
    ActionFilter, Error, ErrorKind,
    postgres::{OwnerTx, PolicyChange},
};

/// The longest time, in days.
const MOST_DAYS: u32 = 36_500;

/// How many policies an error names.
const MOST_NAMED: usize = 5;

/// How long entries are kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// Of which tenant; `None` for every tenant.
    pub tenant: Option<TenantId>,
    /// Which actions; `None` for all.
    pub action: Option<ActionFilter>,
    /// How many days; 1 to 36,500.
    pub keep_days: u32,
    /// Why, for the record: 1 to 512 bytes.
    pub reason: String,
}

impl RetentionPolicy {
    /// Keeps everything of every tenant for so many days.
    pub fn new(keep_days: u32, reason: impl Into<String>) -> Self {
        Self {
            tenant: None,
            action: None,
            keep_days,
            reason: reason.into(),
        }
    }

    /// Only of this tenant.
    pub fn with_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Only these actions.
    pub fn with_action(mut self, action: ActionFilter) -> Self {
        self.action = Some(action);
        self
    }

    fn check(&self) -> Result<(), Error> {
        check_reason(&self.reason)?;
        if (1..=MOST_DAYS).contains(&self.keep_days) {
            return Ok(());
        }
        let message = format!("entries are kept for 1 to {MOST_DAYS} days");
        Err(Error::invalid("audit_policy_days", message))
    }

    fn described(&self) -> String {
        let action = match &self.action {
            None => "everything".to_owned(),
            Some(ActionFilter::Exact(action)) => format!("`{action}`"),
            Some(ActionFilter::Prefix(prefix)) => format!("`{}*`", prefix.as_str()),
        };
        let of = match self.tenant {
            None => "every tenant".to_owned(),
            Some(tenant) => format!("tenant `{tenant}`"),
        };
        format!("{action} of {of} for {} days", self.keep_days)
    }

    /// Before when entries are past their time.
    pub(super) fn before(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - TimeDelta::days(self.keep_days.into())
    }

    pub(super) fn rule(&self, tenant: TenantId, now: DateTime<Utc>) -> RetentionRule {
        let mut rule = RetentionRule::new(tenant, self.before(now), self.reason.clone());
        rule.action.clone_from(&self.action);
        rule
    }
}

/// The policies of retention: how long entries are kept, for every tenant, and shorter for one or for some actions.
///
/// Each is a bound: where several are about an entry, the shortest counts. One that keeps longer than another one that
/// is about all of the same entries would do nothing, and is refused, whichever of both is set first.
///
/// Nothing goes by setting one: [`Retention::apply`](crate::Retention::apply) does what they say, and needs the key
/// that signs removals. These don't.
///
/// ```no_run
/// # use tenancy_audit::{ActionFilter, Error, RetentionPolicies, RetentionPolicy};
/// # use tenancy_core::OperatorDb;
/// # async fn run(operator: OperatorDb) -> Result<(), Error> {
/// let policies = RetentionPolicies::new(operator);
/// policies.set(&RetentionPolicy::new(730, "kept for two years")).await?;
/// let logins = ActionFilter::prefix("login.")?;
/// let shorter = RetentionPolicy::new(90, "logins are kept for 90 days").with_action(logins);
/// policies.set(&shorter).await?;
/// assert_eq!(policies.list().await?.len(), 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RetentionPolicies(OperatorDb);

impl RetentionPolicies {
    /// As the operator.
    pub fn new(operator: OperatorDb) -> Self {
        Self(operator)
    }

    /// Sets a policy, in the place of one for the same tenant and actions. Policies are set one at a time.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_policy_longer`, with what is in the way, if it would keep longer than
    /// another one that is about all of the same entries, or would keep less than another one that is about some of
    /// its entries and no others; [`InvalidInput`](ErrorKind::InvalidInput) `audit_reason_invalid`,
    /// `audit_policy_days`.
    pub async fn set(&self, policy: &RetentionPolicy) -> Result<(), Error> {
        policy.check()?;
        let mut tx = OwnerTx::begin(&self.0).await?;
        match tx.set_policy(policy).await? {
            PolicyChange::Set => tx.commit().await,
            PolicyChange::Longer(others) => Err(contradicts(&others)),
        }
    }

    /// Takes a policy away; `false` if there was none for this tenant and these actions.
    pub async fn unset(
        &self,
        tenant: Option<TenantId>,
        action: Option<&ActionFilter>,
    ) -> Result<bool, Error> {
        let mut tx = OwnerTx::begin(&self.0).await?;
        let unset = tx.unset_policy(tenant, action).await?;
        tx.commit().await?;
        Ok(unset)
    }

    /// All policies: first those for every tenant.
    pub async fn list(&self) -> Result<Vec<RetentionPolicy>, Error> {
        OwnerTx::begin(&self.0).await?.policies().await
    }
}

/// Of two policies the narrower one keeps for longer.
pub(super) fn contradicts(others: &[RetentionPolicy]) -> Error {
    let named = others.iter().take(MOST_NAMED);
    let named: Vec<String> = named.map(RetentionPolicy::described).collect();
    let more = if others.len() > MOST_NAMED {
        ", and more"
    } else {
        ""
    };
    let message = format!(
        "of some entries only nothing is kept for longer than of all of them; other policies keep {}{more}",
        named.join(", ")
    );
    Error::new(ErrorKind::Conflict, "audit_policy_longer", message)
}
