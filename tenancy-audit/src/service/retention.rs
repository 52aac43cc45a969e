//! Removing what is past its time, so that everything else can still be verified.

use std::{collections::HashSet, fmt, sync::Arc};

use chrono::{DateTime, Months, NaiveDate, Utc};
use tenancy_core::{OperatorDb, TenantId};
use uuid::Uuid;

use crate::{
    ActionFilter, Error, ErrorKind, Removal, SealSigner,
    model::{MAX_REASON, Ranges},
    postgres::{Removing, TakenOut},
};

/// How many entries go in one transaction, and how many stretches one removal names.
const BATCH: i32 = 10_000;

/// Removes entries that are past their time, as the operator.
///
/// Whole months go by dropping their partition, which costs nothing. A tenant's or an action's own, shorter
/// time goes by batches. Either way the hashes of what went stay in their seals, and a signed
/// [`Removal`] says what went: [`Verifier`](crate::Verifier) then counts it as removed, and everything
/// else still verifies. Only what is sealed is removed, and nothing of a tenant under a legal hold.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use chrono::{NaiveDate, TimeDelta, Utc};
/// # use tenancy_audit::{ActionFilter, Ed25519Signer, Error, Retention, RetentionRule};
/// # use tenancy_core::{OperatorDb, TenantId};
/// # async fn run(operator: OperatorDb, tenant: TenantId, month: NaiveDate) -> Result<(), Error> {
/// let retention = Retention::new(operator, Arc::new(Ed25519Signer::from_env()?));
/// retention.drop_month(month, "kept for 24 months").await?;
///
/// let rule = RetentionRule::new(tenant, Utc::now() - TimeDelta::days(30), "logins are kept for 30 days")
///     .with_action(ActionFilter::prefix("login.")?);
/// let removed = retention.remove(&rule).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Retention {
    operator: OperatorDb,
    signer: Arc<dyn SealSigner>,
}

/// Which of a tenant's entries are past their time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetentionRule {
    /// The tenant.
    pub tenant: TenantId,
    /// Entries made before this are past their time.
    pub before: DateTime<Utc>,
    /// Why, for the record: 1 to 512 bytes.
    pub reason: String,
    /// Only these actions.
    pub action: Option<ActionFilter>,
}

/// What went with a month.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MonthDropped {
    /// How many tenants had entries in it.
    pub tenants: u64,
    /// How many entries.
    pub entries: u64,
}

impl RetentionRule {
    /// Every entry of the tenant that was made before.
    pub fn new(tenant: TenantId, before: DateTime<Utc>, reason: impl Into<String>) -> Self {
        Self {
            tenant,
            before,
            reason: reason.into(),
            action: None,
        }
    }

    /// Only these actions.
    pub fn with_action(mut self, action: ActionFilter) -> Self {
        self.action = Some(action);
        self
    }

    fn pattern(&self) -> Option<String> {
        Some(match self.action.as_ref()? {
            ActionFilter::Exact(action) => action.as_str().to_owned(),
            ActionFilter::Prefix(prefix) => format!("{}%", prefix.as_str()),
        })
    }
}

impl Retention {
    /// Signs removals with this signer, whose public key verifiers have to know.
    pub fn new(operator: OperatorDb, signer: Arc<dyn SealSigner>) -> Self {
        Self { operator, signer }
    }

    /// Removes what the rule names, in batches of 10,000; how many entries went. An error leaves the
    /// batches before it removed; it can be called again.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_held` under a legal hold;
    /// [`InvalidInput`](ErrorKind::InvalidInput) `audit_reason_invalid`.
    pub async fn remove(&self, rule: &RetentionRule) -> Result<u64, Error> {
        check_reason(&rule.reason)?;
        let (pattern, mut removed) = (rule.pattern(), 0);
        loop {
            let mut removing = Removing::begin(&self.operator).await?;
            let taken = removing
                .take_out(rule.tenant, pattern.as_deref(), rule.before, BATCH)
                .await?;
            let ids = match taken {
                TakenOut::Held => return Err(held(rule.tenant)),
                TakenOut::Ids(ids) => ids,
            };
            let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
                return Ok(removed);
            };
            let (gone, mut ranges, mut places) =
                (HashSet::<&Uuid>::from_iter(&ids), Ranges::default(), 0);
            let each = |place, id| {
                if gone.contains(&id) {
                    ranges.push(place);
                    places += 1;
                }
            };
            removing.places(rule.tenant, (*first, *last), each).await?;
            if places != ids.len() {
                return Err(unproven(rule.tenant));
            }
            self.keep(&mut removing, rule.tenant, &ranges, &rule.reason)
                .await?;
            removing.commit().await?;
            removed += ids.len() as u64;
        }
    }

    /// Drops the partition of a month, named by any of its days: all or nothing. Waits at most three
    /// seconds for the lock, which keeps readers and writers out while the partition is taken off.
    ///
    /// A log of which nothing was ever sealed loses the month without a record.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_held` if a tenant with entries in it is under a legal
    /// hold, or `audit_month_unsealed`; [`InvalidInput`](ErrorKind::InvalidInput) `audit_month_recent`
    /// for this month and the one before; [`NotFound`](ErrorKind::NotFound) `audit_month_unknown`;
    /// [`Unavailable`](ErrorKind::Unavailable) `audit_month_busy`.
    pub async fn drop_month(&self, month: NaiveDate, reason: &str) -> Result<MonthDropped, Error> {
        check_reason(reason)?;
        let month = chrono::Datelike::with_day(&month, 1).unwrap_or(month);
        // The database looks again, by its own clock.
        if month + Months::new(2) > Utc::now().date_naive() {
            return Err(Removing::recent());
        }
        let mut removing = Removing::begin(&self.operator).await?;
        let (from, to) = removing.bounds(month).await?;
        let (tenants, sealing) = (removing.month((from, to)).await?, removing.sealing().await?);
        let mut dropped = MonthDropped::default();
        for of in &tenants {
            if of.held {
                return Err(held(of.tenant_id));
            }
            dropped.tenants += 1;
            dropped.entries += of.entries.cast_unsigned();
            if !sealing {
                continue;
            }
            if of.unsealed > 0 {
                let message = "entries of this month wait for their seal: seal them first";
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "audit_month_unsealed",
                    message,
                ));
            }
            let (mut ranges, mut places) = (Ranges::default(), 0_i64);
            let each = |place, id: Uuid| {
                if id >= from && id < to {
                    ranges.push(place);
                    places += 1;
                }
            };
            removing.places(of.tenant_id, (from, to), each).await?;
            if places < of.entries {
                return Err(unproven(of.tenant_id));
            }
            self.keep(&mut removing, of.tenant_id, &ranges, reason)
                .await?;
        }
        removing.drop_month(month).await?;
        removing.commit().await?;
        Ok(dropped)
    }

    /// Signs and keeps removals of these places.
    async fn keep(
        &self,
        removing: &mut Removing,
        tenant: TenantId,
        ranges: &Ranges,
        reason: &str,
    ) -> Result<(), Error> {
        let key = self.signer.key_name();
        for part in ranges.0.chunks(BATCH.unsigned_abs() as usize) {
            let (mut removal, bytes) = Removal::new(tenant, &Ranges(part.to_vec()), reason, &key);
            removal.signature = self.signer.sign(&bytes).await?;
            removing.keep(&removal).await?;
        }
        Ok(())
    }
}

fn check_reason(reason: &str) -> Result<(), Error> {
    if (1..=MAX_REASON).contains(&reason.len()) && !reason.contains('\0') {
        return Ok(());
    }
    let message = format!("say why, in 1 to {MAX_REASON} bytes");
    Err(Error::invalid("audit_reason_invalid", message))
}

fn held(tenant: TenantId) -> Error {
    let message = format!("tenant `{tenant}` is under a legal hold");
    Error::new(ErrorKind::Conflict, "audit_held", message)
}

fn unproven(tenant: TenantId) -> Error {
    let message = format!("entries of tenant `{tenant}` are not in the seals they should be in");
    Error::new(ErrorKind::Internal, "audit_removal_unproven", message)
}

impl fmt::Debug for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retention")
            .field("key", &self.signer.key_name())
            .finish_non_exhaustive()
    }
}
