//! Applying the policies, and what came of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Months, NaiveDate, Utc};
use tenancy_core::TenantId;

use super::{
    Removed, Retention, RetentionPolicies, RetentionPolicy, Undelivered, policy::contradicts,
    unsealed,
};
use crate::{Error, Partitions, error::code, postgres::OwnerTx};

/// What applying the policies did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Applied {
    /// How many entries went.
    pub entries: u64,
    /// Months that were dropped as a whole, with what was in them, by their first day.
    pub months: Vec<NaiveDate>,
    /// Tenants whose entries stay under a legal hold, in the order of their ids.
    pub held: Vec<TenantId>,
    /// What went although streams had not told of it, for longer than it is kept for them.
    pub undelivered: Vec<Undelivered>,
    /// What could not be done. It is tried again the next time. After
    /// [`CommitOutcomeUnknown`](crate::ErrorKind::CommitOutcomeUnknown) it may have been done, and is not counted.
    pub failed: Vec<RetentionFailure>,
    /// Whether it ended in the middle, because the database could not be reached any more. The last of
    /// [`failed`](Self::failed) says how; what came behind it was not tried.
    pub cut_short: bool,
}

/// What could not be done, of one tenant or month; of a whole policy where neither is named.
#[derive(Debug)]
#[non_exhaustive]
pub struct RetentionFailure {
    /// The tenant whose entries stay, or some of them.
    pub tenant: Option<TenantId>,
    /// The month that stays, by its first day.
    pub month: Option<NaiveDate>,
    /// Why. Its [`retry`](Error::retry) says whether the next time may end otherwise by itself.
    pub error: Error,
}

impl Retention {
    /// Applies all [policies](RetentionPolicies): drops whole months that are past the time of everything, and
    /// removes what is past a shorter one by batches, as [`remove`](Self::remove) does. A legal hold goes before
    /// any policy. What fails for one tenant or month does not keep the others; it can be called again at any
    /// time.
    ///
    /// Entries past the time of everything that lie in no month's partition go by batches, too. A policy is left out
    /// as long as a narrower one keeps longer, however that came about: it then stands in [`Applied::failed`] with
    /// `audit_policy_longer`.
    ///
    /// Each month, and each batch, is a transaction of its own. What was done is answered whatever happens after it:
    /// where the database goes away in the middle the answer says so ([`Applied::cut_short`]).
    ///
    /// # Errors
    /// If the policies can't be read; nothing was done then.
    pub async fn apply(&self) -> Result<Applied, Error> {
        let policies = RetentionPolicies::new(self.operator.clone()).list().await?;
        let mut applying = Applying {
            retention: self,
            now: Utc::now(),
            done: Applied::default(),
        };
        for policy in &policies {
            if let Err(Away) = applying.policy(policy).await {
                applying.done.cut_short = true;
                break;
            }
        }
        let mut done = applying.done;
        done.held.sort_unstable();
        done.held.dedup();
        Ok(done)
    }

    /// Refuses to apply a policy as long as a narrower one keeps longer.
    pub(super) async fn stands(tx: &mut OwnerTx, policy: &RetentionPolicy) -> Result<(), Error> {
        let mut others = tx.policies_against(policy).await?;
        others.retain(|other| other.keep_days > policy.keep_days);
        if others.is_empty() {
            return Ok(());
        }
        Err(contradicts(&others))
    }
}

/// The database can't be reached: each further step would wait for it and fail.
struct Away;

struct Applying<'a> {
    retention: &'a Retention,
    now: DateTime<Utc>,
    done: Applied,
}

impl Applying<'_> {
    async fn policy(&mut self, policy: &RetentionPolicy) -> Result<(), Away> {
        if let Err(error) = self.stands(policy).await {
            return self.failed(policy.tenant, None, error).await;
        }
        match (policy.tenant, &policy.action) {
            (None, None) => self.months(policy).await,
            (Some(tenant), _) => self.tenant(policy, tenant).await.map(drop),
            (None, Some(_)) => self.every_tenant(policy).await,
        }
    }

    async fn stands(&self, policy: &RetentionPolicy) -> Result<(), Error> {
        let mut tx = OwnerTx::begin(&self.retention.operator).await?;
        Retention::stands(&mut tx, policy).await
    }

    async fn every_tenant(&mut self, policy: &RetentionPolicy) -> Result<(), Away> {
        let mut after = None;
        loop {
            let tenants = match self.sealed_tenants(after).await {
                Ok(tenants) => tenants,
                Err(error) => return self.failed(None, None, error).await,
            };
            let Some(last) = tenants.last() else {
                return Ok(());
            };
            after = Some(*last);
            for tenant in tenants {
                self.tenant(policy, tenant).await?;
            }
        }
    }

    async fn sealed_tenants(&self, after: Option<TenantId>) -> Result<Vec<TenantId>, Error> {
        let mut tx = OwnerTx::begin(&self.retention.operator).await?;
        tx.sealed_tenants(after).await
    }

    /// Whether nothing was in the way.
    async fn tenant(&mut self, policy: &RetentionPolicy, tenant: TenantId) -> Result<bool, Away> {
        let (rule, mut removed) = (policy.rule(tenant, self.now), Removed::default());
        let end = self.retention.remove_into(&rule, &mut removed).await;
        self.done.entries += removed.entries;
        self.done.undelivered.extend(removed.undelivered);
        match end {
            Ok(()) => return Ok(true),
            Err(error) if error.code() == code::HELD => self.done.held.push(tenant),
            Err(error) => self.failed(Some(tenant), None, error).await?,
        }
        Ok(false)
    }

    /// Months that lie before the time as a whole. One with entries under a legal hold stays, and the other
    /// tenants' entries go by batches instead.
    async fn months(&mut self, policy: &RetentionPolicy) -> Result<(), Away> {
        let operator = self.retention.operator.clone();
        let partitions = match Partitions::of_operator(operator).list().await {
            Ok(partitions) => partitions,
            Err(error) => return self.failed(None, None, error).await,
        };
        let before = policy.before(self.now);
        let (before, waits) = (
            before.date_naive(),
            self.retention.waits(before).date_naive(),
        );
        let mut held = false;
        for month in partitions.iter().filter_map(|partition| partition.month) {
            // One that the calendar has no end of is not past it.
            let end = month.checked_add_months(Months::new(1));
            let Some(end) = end.filter(|end| *end <= before) else {
                continue;
            };
            let dropped =
                self.retention
                    .drop_month_if(month, &policy.reason, Some(policy), end > waits);
            match dropped.await {
                Ok((dropped, undelivered)) => {
                    self.done.entries += dropped.entries;
                    self.done.undelivered.extend(undelivered);
                    self.done.months.push(month);
                }
                // The month before this one stays whatever the policy says.
                Err(error) if error.code() == code::MONTH_RECENT => {}
                Err(error) if error.code() == code::HELD => held = true,
                Err(error) => self.failed(None, Some(month), error).await?,
            }
        }
        if held {
            self.every_tenant(policy).await?;
        }
        self.strays(policy).await
    }

    /// What is past the time and lies in no month's partition goes by batches. What was not sealed can't: it is named.
    async fn strays(&mut self, policy: &RetentionPolicy) -> Result<(), Away> {
        let mut after = None;
        loop {
            let tenants = match self.stray_tenants(policy, after).await {
                Ok(tenants) => tenants,
                Err(error) => return self.failed(None, None, error).await,
            };
            let Some(last) = tenants.last().copied() else {
                return Ok(());
            };
            let mut emptied = BTreeSet::new();
            for tenant in tenants {
                if self.tenant(policy, tenant).await? {
                    emptied.insert(tenant);
                }
            }
            match self.stray_tenants(policy, after).await {
                Ok(left) => {
                    for tenant in left.into_iter().filter(|tenant| emptied.contains(tenant)) {
                        let error = unsealed("no month's partition");
                        self.failed(Some(tenant), None, error).await?;
                    }
                }
                Err(error) => return self.failed(None, None, error).await,
            }
            after = Some(last);
        }
    }

    async fn stray_tenants(
        &self,
        policy: &RetentionPolicy,
        after: Option<TenantId>,
    ) -> Result<Vec<TenantId>, Error> {
        let mut tx = OwnerTx::begin(&self.retention.operator).await?;
        tx.stray_tenants(policy.before(self.now), after).await
    }

    /// Notes what failed, and goes on as long as the database answers: what is in the way of one month or tenant, such
    /// as somebody who reads it, is not in the way of the others.
    async fn failed(
        &mut self,
        tenant: Option<TenantId>,
        month: Option<NaiveDate>,
        error: Error,
    ) -> Result<(), Away> {
        let failure = RetentionFailure {
            tenant,
            month,
            error,
        };
        self.done.failed.push(failure);
        match OwnerTx::begin(&self.retention.operator).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Away),
        }
    }
}
