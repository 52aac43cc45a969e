//! Removing what is past its time, so that everything else can still be verified.

mod apply;
mod details;
mod hold;
mod policy;
mod prove;
mod streams;

use std::{fmt, sync::Arc};

use chrono::{DateTime, Months, NaiveDate, Utc};
use tenancy_core::{OperatorDb, TenantId};

use crate::{
    ActionFilter, Error, ErrorKind, SealKeys, SealSigner,
    error::code,
    model::{MAX_REASON, Ranges, Removal},
    postgres::{OwnerTx, recent_month},
};
use prove::Prover;

pub use apply::{Applied, RetentionFailure};
pub use details::DetailRule;
pub use hold::LogHolds;
pub use policy::{RetentionPolicies, RetentionPolicy};
pub use streams::Undelivered;

/// How many entries go in one transaction.
const BATCH: i32 = 1_000;

/// How many stretches one removal names.
const STRETCHES: usize = 10_000;

/// Removes entries that are past their time, as the operator.
///
/// Whole months go by dropping their partition, which costs nothing. A tenant's or an action's own, shorter
/// time goes by batches. Either way the hashes of what went stay in their seals, and a signed
/// removal says what went: [`Verifier`](crate::Verifier) then counts it as removed, and everything
/// else still verifies. Only what is sealed is removed, nothing of a tenant under a legal hold, and what
/// [streams](crate::Streams) have told of, or had [days](Self::with_stream_days) to tell of.
///
/// What goes is proved against its seals first, so that nothing is removed in the place of what was edited:
/// an entry that is not as it was sealed is refused with `audit_removal_unproven`, and counted in
/// `tenancy_audit_unproven_total`. It stays until somebody has looked into it; who then takes it out by hand
/// leaves a gap that every verifier tells.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use chrono::{NaiveDate, TimeDelta, Utc};
/// # use tenancy_audit::{ActionFilter, Ed25519Signer, Error, Retention, RetentionRule, SealKeys};
/// # use tenancy_core::{OperatorDb, TenantId};
/// # async fn run(operator: OperatorDb, tenant: TenantId, month: NaiveDate) -> Result<(), Error> {
/// let signer = Ed25519Signer::from_env()?;
/// let keys = SealKeys::new([signer.public_key()]); // and those before it
/// let retention = Retention::new(operator, Arc::new(signer), keys);
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
    keys: SealKeys,
    stream_days: u16,
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

/// What a rule removed.
#[derive(Debug, Default)]
struct Removed {
    entries: u64,
    undelivered: Vec<Undelivered>,
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
}

impl Retention {
    /// Signs removals with this signer, whose public key verifiers have to know, and proves what goes under
    /// these keys: all that seals were ever signed with.
    pub fn new(operator: OperatorDb, signer: Arc<dyn SealSigner>, keys: SealKeys) -> Self {
        Self {
            operator,
            signer,
            keys,
            stream_days: Self::STREAM_DAYS,
        }
    }

    /// Removes what the rule names, in batches of 1,000; how many entries went. An error leaves the
    /// batches before it removed; it can be called again.
    ///
    /// What a stream has not told of is kept for it ([`with_stream_days`](Self::with_stream_days)).
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_held` under a legal hold, or `audit_undelivered` if all went but what
    /// is kept for streams;
    /// [`InvalidInput`](ErrorKind::InvalidInput) `audit_reason_invalid`;
    /// [`CommitOutcomeUnknown`](ErrorKind::CommitOutcomeUnknown) if the connection was lost while a batch was
    /// committed;
    /// [`Internal`](ErrorKind::Internal) `audit_removal_unproven` if an entry is not as it was sealed.
    pub async fn remove(&self, rule: &RetentionRule) -> Result<u64, Error> {
        let mut removed = Removed::default();
        self.remove_into(rule, &mut removed).await?;
        Ok(removed.entries)
    }

    async fn remove_into(&self, rule: &RetentionRule, removed: &mut Removed) -> Result<(), Error> {
        check_reason(&rule.reason)?;
        let times = (rule.before, self.waits(rule.before));
        let (mut hint, mut prover) = (0, self.prover(rule.tenant));
        loop {
            let mut tx = OwnerTx::begin(&self.operator).await?;
            if tx.is_held(rule.tenant).await? {
                return Err(held(rule.tenant));
            }
            let overdue = if removed.entries == 0 {
                self.overdue(&mut tx, rule).await?
            } else {
                Vec::new()
            };
            let taken = tx
                .take_out(rule.tenant, rule.action.as_ref(), times, BATCH)
                .await?;
            if taken.is_empty() {
                return Self::all_told(&mut tx, rule).await;
            }
            prover.look(tx.reading(rule.tenant).await?).await?;
            let ranges = prover.places_of(&mut tx, &taken, &mut hint).await?;
            self.keep(&mut tx, &prover, &ranges, &rule.reason).await?;
            tx.commit().await?;
            removed.entries += taken.len() as u64;
            streams::tell(&overdue);
            removed.undelivered.extend(overdue);
        }
    }

    /// Drops the partition of a month, named by any of its days: all or nothing. Reads all of it first, to
    /// prove it, while nobody writes to it. Waits at most three seconds for a lock; the last one keeps readers
    /// and writers out while the partition is taken off.
    ///
    /// A log of which nothing was ever sealed loses the month without a record.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_held` if a tenant with entries in it is under a legal
    /// hold, `audit_month_unsealed`, or `audit_undelivered` as long as a stream has not told of all of it; [`InvalidInput`](ErrorKind::InvalidInput) `audit_month_recent`
    /// for this month and the one before; [`NotFound`](ErrorKind::NotFound) `audit_month_unknown`;
    /// [`Unavailable`](ErrorKind::Unavailable) `audit_month_busy`;
    /// [`CommitOutcomeUnknown`](ErrorKind::CommitOutcomeUnknown) if the connection was lost while it was committed;
    /// [`Internal`](ErrorKind::Internal) `audit_removal_unproven` if an entry is not as it was sealed, is in no
    /// seal, or is gone without a removal.
    pub async fn drop_month(&self, month: NaiveDate, reason: &str) -> Result<MonthDropped, Error> {
        let (dropped, _) = self.drop_month_if(month, reason, None, true).await?;
        Ok(dropped)
    }

    async fn drop_month_if(
        &self,
        month: NaiveDate,
        reason: &str,
        policy: Option<&RetentionPolicy>,
        waits_for_streams: bool,
    ) -> Result<(MonthDropped, Vec<Undelivered>), Error> {
        check_reason(reason)?;
        let month = chrono::Datelike::with_day(&month, 1).unwrap_or(month);
        // The database looks again, by its own clock.
        let droppable = month.checked_add_months(Months::new(2));
        if droppable.is_none_or(|from| from > Utc::now().date_naive()) {
            return Err(recent_month());
        }
        let mut tx = OwnerTx::begin(&self.operator).await?;
        tx.lock_month(month).await?;
        if let Some(policy) = policy {
            Self::stands(&mut tx, policy).await?;
        }
        let (from, to) = tx.bounds(month).await?;
        let undelivered = Self::untold_in(&mut tx, (from, to), waits_for_streams).await?;
        let (tenants, sealing) = (tx.month((from, to)).await?, tx.sealing().await?);
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
                return Err(unsealed("this month"));
            }
            let mut prover = self.prover(of.tenant_id);
            prover.look(tx.reading(of.tenant_id).await?).await?;
            let stretch = prover.places_in(&mut tx, (from, to)).await?;
            if stretch.entries != of.entries.cast_unsigned() {
                return Err(prover.refuse("are in no seal", &[]));
            }
            self.keep(&mut tx, &prover, &stretch.places, reason).await?;
        }
        tx.drop_month(month).await?;
        tx.commit().await?;
        streams::tell(&undelivered);
        Ok((dropped, undelivered))
    }

    fn prover(&self, tenant: TenantId) -> Prover<'_> {
        Prover::new(tenant, &self.keys)
    }

    /// Signs and keeps removals of these places.
    async fn keep(
        &self,
        tx: &mut OwnerTx,
        of: &Prover<'_>,
        ranges: &Ranges,
        reason: &str,
    ) -> Result<(), Error> {
        let key = self.signer.key_name();
        for part in ranges.0.chunks(STRETCHES) {
            let part = Ranges(part.to_vec());
            let (mut removal, bytes) = Removal::new(of.tenant, &part, (reason, &of.adopted), &key);
            removal.signature = self.signer.sign(&bytes).await?;
            tx.keep(&removal).await?;
        }
        Ok(())
    }
}

pub(in crate::service) fn check_reason(reason: &str) -> Result<(), Error> {
    if (1..=MAX_REASON).contains(&reason.len()) && !reason.contains('\0') {
        return Ok(());
    }
    let message = format!("say why, in 1 to {MAX_REASON} bytes");
    Err(Error::invalid("audit_reason_invalid", message))
}

fn unsealed(of: &str) -> Error {
    let message = format!("entries of {of} wait for their seal: seal them first");
    Error::new(ErrorKind::Conflict, "audit_month_unsealed", message)
}

pub(in crate::service) fn held(tenant: TenantId) -> Error {
    let message = format!("tenant `{tenant}` is under a legal hold");
    Error::new(ErrorKind::Conflict, code::HELD, message)
}

impl fmt::Debug for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retention")
            .field("key", &self.signer.key_name())
            .finish_non_exhaustive()
    }
}
