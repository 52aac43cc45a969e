//! How long entries are kept, as data.

use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};
use tenancy_core::{ActionKey, TenantId};
use uuid::Uuid;

use super::{Removed, Retention, RetentionRule, Undelivered, check_reason};
use crate::{
    ActionFilter, Error, ErrorKind, Partitions,
    postgres::{PolicyRow, Removing},
};

/// The longest time, in days.
const MOST_DAYS: u32 = 36_500;

/// What stands for every tenant where policies are stored.
const EVERYBODY: Uuid = Uuid::nil();

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

/// What applying the policies did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Applied {
    /// How many entries went.
    pub entries: u64,
    /// Months that were dropped as a whole, with what was in them.
    pub months: Vec<NaiveDate>,
    /// Tenants whose entries stay under a legal hold, in the order of their ids.
    pub held: Vec<TenantId>,
    /// What went although streams had not told of it, for longer than it is kept for them.
    pub undelivered: Vec<Undelivered>,
    /// What could not be done, and the code of the error. It is tried again the next time.
    pub failed: Vec<(String, &'static str)>,
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

    fn row(&self) -> Result<PolicyRow, Error> {
        check_reason(&self.reason)?;
        if !(1..=MOST_DAYS).contains(&self.keep_days) {
            let message = format!("entries are kept for 1 to {MOST_DAYS} days");
            return Err(Error::invalid("audit_policy_days", message));
        }
        Ok(PolicyRow {
            tenant_id: self.tenant.map_or(EVERYBODY, TenantId::as_uuid),
            action: super::pattern(self.action.as_ref()).unwrap_or_default(),
            keep_days: self.keep_days.cast_signed(),
            reason: self.reason.clone(),
        })
    }

    fn of(row: PolicyRow) -> Result<Self, Error> {
        let action = match row.action.strip_suffix('%') {
            Some(prefix) => Some(ActionFilter::prefix(prefix)?),
            None if row.action.is_empty() => None,
            None => Some(ActionFilter::Exact(ActionKey::parse(row.action)?)),
        };
        let of_one = row.tenant_id != EVERYBODY;
        Ok(Self {
            tenant: of_one.then(|| TenantId::from_uuid(row.tenant_id)),
            action,
            keep_days: row.keep_days.unsigned_abs(),
            reason: row.reason,
        })
    }

    /// Before when entries are past their time.
    fn before(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - TimeDelta::days(self.keep_days.into())
    }

    fn rule(&self, tenant: TenantId, now: DateTime<Utc>) -> RetentionRule {
        let mut rule = RetentionRule::new(tenant, self.before(now), self.reason.clone());
        rule.action.clone_from(&self.action);
        rule
    }
}

impl Applied {
    /// Goes on after what concerns one tenant or month only.
    fn note(&mut self, what: &str, tenant: Option<TenantId>, error: &Error) -> bool {
        match (error.code(), tenant) {
            ("audit_held", Some(tenant)) => {
                if self.held.last() != Some(&tenant) {
                    self.held.push(tenant);
                }
            }
            (code, _) => self.failed.push((what.to_owned(), code)),
        }
        error.kind() != ErrorKind::Unavailable
    }
}

impl Retention {
    /// Sets a policy, in the place of one for the same tenant and actions.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_policy_longer` if it would keep longer than the one for
    /// everything of every tenant does; [`InvalidInput`](ErrorKind::InvalidInput) `audit_reason_invalid`,
    /// `audit_policy_days`.
    pub async fn set_policy(&self, policy: &RetentionPolicy) -> Result<(), Error> {
        let row = policy.row()?;
        let mut removing = Removing::begin(&self.operator).await?;
        if removing.set_policy(&row).await? == "longer" {
            let message = "entries of one tenant or action are kept no longer than all are";
            return Err(Error::new(
                ErrorKind::Conflict,
                "audit_policy_longer",
                message,
            ));
        }
        removing.commit().await
    }

    /// Takes a policy away; `false` if there was none for this tenant and these actions.
    pub async fn unset_policy(
        &self,
        tenant: Option<TenantId>,
        action: Option<&ActionFilter>,
    ) -> Result<bool, Error> {
        let tenant = tenant.map_or(EVERYBODY, TenantId::as_uuid);
        let action = super::pattern(action).unwrap_or_default();
        let mut removing = Removing::begin(&self.operator).await?;
        let unset = removing.unset_policy(tenant, &action).await?;
        removing.commit().await?;
        Ok(unset)
    }

    /// All policies: first those for every tenant.
    pub async fn policies(&self) -> Result<Vec<RetentionPolicy>, Error> {
        let mut removing = Removing::begin(&self.operator).await?;
        let mut rows: Vec<PolicyRow> = Vec::new();
        loop {
            let more = removing.policies(rows.last()).await?;
            if more.is_empty() {
                return rows.into_iter().map(RetentionPolicy::of).collect();
            }
            rows.extend(more);
        }
    }

    /// Applies all policies: drops whole months that are past the time of everything, and removes what is past
    /// a shorter one by batches, as [`remove`](Self::remove) does. A legal hold goes before any policy. What
    /// fails for one tenant or month does not keep the others; it can be called again at any time.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the database can't be reached.
    pub async fn apply(&self) -> Result<Applied, Error> {
        let (now, mut applied) = (Utc::now(), Applied::default());
        for policy in self.policies().await? {
            match (policy.tenant, &policy.action) {
                (None, None) => self.apply_to_months(&policy, now, &mut applied).await?,
                (Some(tenant), _) => self.apply_to(&policy, tenant, now, &mut applied).await?,
                (None, Some(_)) => self.apply_to_all(&policy, now, &mut applied).await?,
            }
        }
        applied.held.sort_unstable();
        applied.held.dedup();
        Ok(applied)
    }

    async fn apply_to_all(
        &self,
        policy: &RetentionPolicy,
        now: DateTime<Utc>,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let mut after = TenantId::from_uuid(Uuid::nil());
        loop {
            let mut removing = Removing::begin(&self.operator).await?;
            let tenants = removing.sealed_tenants(after).await?;
            drop(removing);
            let Some(last) = tenants.last() else {
                return Ok(());
            };
            after = *last;
            for tenant in tenants {
                self.apply_to(policy, tenant, now, applied).await?;
            }
        }
    }

    async fn apply_to(
        &self,
        policy: &RetentionPolicy,
        tenant: TenantId,
        now: DateTime<Utc>,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let mut removed = Removed::default();
        let done = self
            .remove_into(&policy.rule(tenant, now), &mut removed)
            .await;
        applied.entries += removed.entries;
        applied.undelivered.extend(removed.undelivered);
        match done {
            Err(error) if !applied.note(&format!("tenant `{tenant}`"), Some(tenant), &error) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Months that lie before the time as a whole. One with entries under a legal hold stays, and the other
    /// tenants' entries go by batches instead.
    async fn apply_to_months(
        &self,
        policy: &RetentionPolicy,
        now: DateTime<Utc>,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let (before, mut held) = (policy.before(now).date_naive(), false);
        let waits = self.waits(policy.before(now)).date_naive();
        let partitions = Partitions::of_operator(self.operator.clone())
            .list()
            .await?;
        for month in partitions
            .iter()
            .filter_map(|partition| month_of(&partition.name))
        {
            if month + Months::new(1) > before {
                continue;
            }
            let waits = month + Months::new(1) > waits;
            match self.drop_month_if(month, &policy.reason, waits).await {
                Ok((dropped, undelivered)) => {
                    applied.entries += dropped.entries;
                    applied.undelivered.extend(undelivered);
                    applied.months.push(month);
                }
                // The month before this one stays whatever the policy says.
                Err(error) if error.code() == "audit_month_recent" => {}
                Err(error) if error.code() == "audit_held" => held = true,
                Err(error) => {
                    if !applied.note(&format!("month `{month}`"), None, &error) {
                        return Err(error);
                    }
                }
            }
        }
        if held {
            self.apply_to_all(policy, now, applied).await?;
        }
        Ok(())
    }
}

/// The first day of a partition's month.
fn month_of(partition: &str) -> Option<NaiveDate> {
    let (year, month) = partition.strip_prefix("audit_logs_y")?.split_once('m')?;
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)
}
