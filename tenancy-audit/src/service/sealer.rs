//! Sealing in the background.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, SubsecRound as _, Utc};
use futures_util::future::{self, Either, FutureExt as _};
use tenancy_core::WorkerDb;
use tokio::sync::watch;

use super::anchors::Anchors;
use crate::{
    Error, IdempotencyKeys, SealAnchor, SealHead, SealSigner,
    model::{Batch, MAX_SEALED},
    postgres::{NewSeal, PgSeals, Round, Unsealed},
};

/// The longest pause after failures.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How long the anchors may take for the last heads when a sealer is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How often a running sealer looks for keys to forget.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// The shortest rest and the largest batch, whatever a host asks for.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
const MOST_IN_BATCH: u32 = 100_000;

/// How a sealer works. What is out of bounds counts as the bound, from
/// [`with_options`](Sealer::with_options) on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SealOptions {
    /// How long it rests when nothing is left to seal; one second by default, 10 ms at least. Each tenant that
    /// was active meanwhile gets a seal of its own, so a longer pause makes fewer and larger seals.
    pub interval: Duration,
    /// How many entries one transaction seals at most, 1 to 100,000; 32,768 by default.
    pub batch: u32,
    /// Idempotency keys that are older than so many days, and that nobody has forgotten on a schedule, are forgotten
    /// by [`Sealer::run`]; 30 by default, one at least.
    pub key_days: u16,
}

impl Default for SealOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            batch: 32_768,
            key_days: 30,
        }
    }
}

impl SealOptions {
    /// Sets how long it rests, 10 ms at least.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how many entries one transaction seals at most, 1 to 100,000.
    pub fn with_batch(mut self, entries: u32) -> Self {
        self.batch = entries;
        self
    }

    /// Sets after how many days idempotency keys are forgotten at the latest; at least one.
    pub fn with_key_days(mut self, days: u16) -> Self {
        self.key_days = days;
        self
    }

    /// Within what does no harm, whatever a host asks for.
    fn bounded(mut self) -> Self {
        self.interval = self.interval.max(LEAST_INTERVAL);
        self.batch = self.batch.clamp(1, MOST_IN_BATCH);
        self.key_days = self.key_days.max(1);
        self
    }
}

/// What was sealed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Sealed {
    /// How many entries.
    pub entries: u64,
    /// In how many seals.
    pub seals: u64,
    /// Whether it stopped because another sealer was at it.
    pub busy: bool,
    /// How many tenants' newest heads the anchor did not take.
    pub unpublished: u64,
}

/// Whether sealing keeps up with what is recorded, and whether months lack a partition; for an alarm.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AuditHealth {
    /// When the oldest entry was stored that waits for its seal.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Whether anything was ever sealed.
    pub sealing: bool,
    /// Whether the log was restored into another cluster, so that sealing has stopped.
    pub restored: bool,
    /// Whether entries lie, or lay, in the default partition, because no month was there for them.
    pub stray_entries: bool,
}

/// Seals the entries of all tenants: takes what is final, in batches, and signs it.
///
/// Entries whose transaction began before one that is still running wait for it, wherever in the
/// cluster it runs: so nothing can be committed behind a seal. Any number of sealers may run; one
/// works at a time. What a sealer that died had begun is rolled back, and sealed by the next.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::{Ed25519Signer, FileAnchor, Sealer};
/// # async fn run(worker: tenancy_core::WorkerDb, stop: tokio::sync::oneshot::Receiver<()>)
/// #     -> Result<(), tenancy_audit::Error> {
/// let signer = Arc::new(Ed25519Signer::from_env()?);
/// let anchor = Arc::new(FileAnchor::new("/mnt/elsewhere/heads"));
/// let sealer = Sealer::new(worker, signer).with_anchor(anchor);
/// tokio::spawn(async move {
///     sealer.run(async { drop(stop.await) }).await;
/// });
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Sealer {
    store: PgSeals,
    keys: IdempotencyKeys,
    signer: Arc<dyn SealSigner>,
    anchors: Anchors,
    options: SealOptions,
    /// Where this sealer left off: if it goes on from elsewhere, another one was at it.
    left_at: Arc<Mutex<Option<String>>>,
}

impl Sealer {
    /// Seals with this signer.
    pub fn new(worker: WorkerDb, signer: Arc<dyn SealSigner>) -> Self {
        Self {
            keys: IdempotencyKeys::new(worker.clone()),
            store: PgSeals::new(worker),
            signer,
            anchors: Anchors::default(),
            options: SealOptions::default(),
            left_at: Arc::default(),
        }
    }

    /// Publishes the newest heads there, too; of several anchors each gets all of them. What a sealer that
    /// was killed had sealed and not published is published by the next one.
    pub fn with_anchor(mut self, anchor: Arc<dyn SealAnchor>) -> Self {
        self.anchors.add(anchor);
        self
    }

    /// Replaces the options, each within the bounds that it states.
    pub fn with_options(mut self, options: SealOptions) -> Self {
        self.options = options.bounded();
        self
    }

    /// Seals what is final, and publishes the heads, to all anchors at once. It ends with the first batch that is not
    /// full, so that it ends although others go on recording, and waits a minute and a half at most for an anchor
    /// that does not answer.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) `audit_log_restored` in another cluster;
    /// what the signer or the database answers. What was sealed before the error stays sealed. An
    /// anchor that fails is no error: see [`Sealed::unpublished`].
    pub async fn seal(&self) -> Result<Sealed, Error> {
        let mut all = Sealed::default();
        loop {
            let some = self.round().await?;
            all.entries += some.entries;
            all.seals += some.seals;
            all.busy = some.busy;
            if some.entries < u64::from(self.options.batch) {
                self.anchors.publish(&self.store).await;
                all.unpublished = self.anchors.unpublished();
                return Ok(all);
            }
        }
    }

    /// Seals until `stop` is done, which ends it between two transactions. Failures are logged and
    /// counted in `tenancy_audit_seal_failures_total`, and tried again after a pause that grows.
    ///
    /// Heads are published, and old idempotency keys forgotten, beside that: no anchor holds up sealing or another
    /// anchor. When it is told to stop, the anchors get what they lack for five seconds at most; what one did not take
    /// in that time the next sealer gives it.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let (end, ended) = watch::channel(false);
        let seals = pin!(async {
            self.seal_until(stop).await;
            end.send_replace(true);
        });
        let publishing = self.anchors.run(&self.store, self.options.interval, &ended);
        let forgetting = self.forget_keys_until(ended.clone());
        let beside = pin!(future::join(publishing, forgetting));
        let beside = match future::select(seals, beside).await {
            Either::Left(((), beside)) => beside,
            Either::Right((_, seals)) => return seals.await,
        };
        if tokio::time::timeout(GRACE, beside).await.is_err() {
            let heads = self.anchors.unpublished();
            tracing::warn!(
                heads,
                "a sealer ends with heads that an anchor did not take"
            );
        }
    }

    async fn seal_until(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop.fuse());
        let mut failures: u32 = 0;
        loop {
            let rest = match self.round().await {
                Ok(some) => {
                    failures = 0;
                    if some.entries < u64::from(self.options.batch) {
                        self.options.interval
                    } else {
                        Duration::ZERO
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    metrics::counter!("tenancy_audit_seal_failures_total").increment(1);
                    tracing::warn!(%error, code = error.code(), "the audit log could not be sealed");
                    pause(failures)
                }
            };
            let rest = pin!(tokio::time::sleep(rest));
            if let Either::Left(_) = future::select(&mut stop, rest).await {
                return;
            }
        }
    }

    /// Forgets old keys, once in a while.
    async fn forget_keys_until(&self, mut ended: watch::Receiver<bool>) {
        let keys = self.keys.clone().with_days(self.options.key_days);
        let forget = async {
            loop {
                if let Err(error) = keys.forget().await {
                    tracing::warn!(%error, code = error.code(), "idempotency keys could not be forgotten");
                }
                tokio::time::sleep(FORGET_EVERY).await;
            }
        };
        // What is forgotten goes batch by batch: where it stops nothing is half done.
        let over = async { drop(ended.wait_for(|ended| *ended).await) };
        future::select(pin!(over), pin!(forget)).await;
    }

    /// Whether sealing keeps up; for an alarm.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn health(&self) -> Result<AuditHealth, Error> {
        Self::health_in(&self.store).await
    }

    /// The same without a key.
    ///
    /// # Errors
    /// As [`health`](Self::health).
    pub async fn health_of(worker: WorkerDb) -> Result<AuditHealth, Error> {
        Self::health_in(&PgSeals::new(worker)).await
    }

    async fn health_in(store: &PgSeals) -> Result<AuditHealth, Error> {
        let found = store.health().await?;
        Ok(AuditHealth {
            waiting_since: found.waiting_since,
            sealing: found.begun,
            restored: found.restored,
            stray_entries: found.stray_entries,
        })
    }

    /// One transaction.
    async fn round(&self) -> Result<Sealed, Error> {
        let mut pending = match self.store.begin(self.options.batch).await? {
            Round::Busy => {
                return Ok(Sealed {
                    busy: true,
                    ..Sealed::default()
                });
            }
            Round::Idle => return Ok(Sealed::default()),
            Round::Ready(pending) => pending,
        };
        let another = self.left_at().as_deref() != Some(pending.from());
        let at = Utc::now().trunc_subsecs(6);
        let mut seals = Vec::new();
        for of in &mut pending.tenants {
            sign(&*self.signer, of, at, &mut seals).await?;
        }
        let heads: Vec<SealHead> = seals.iter().map(|new| new.seal.head()).collect();
        let entries = seals.iter().map(|new| u64::from(new.seal.count)).sum();
        let reached = pending.store(&seals, at).await?;
        *self.left_at() = Some(reached);
        metrics::counter!("tenancy_audit_sealed_total").increment(entries);
        self.anchors.take(&heads);
        if another {
            self.anchors.look_soon();
        }
        Ok(Sealed {
            entries,
            seals: seals.len() as u64,
            ..Sealed::default()
        })
    }

    fn left_at(&self) -> MutexGuard<'_, Option<String>> {
        self.left_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait after so many failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    let growing = Duration::from_secs(1).saturating_mul(1 << failures.min(5));
    growing.min(MAX_PAUSE)
}

/// Seals a tenant's entries, in the order given.
pub(super) async fn sign(
    signer: &dyn SealSigner,
    of: &mut Unsealed,
    at: DateTime<Utc>,
    seals: &mut Vec<NewSeal>,
) -> Result<(), Error> {
    let key = signer.key_name();
    for entries in of.entries.chunks(MAX_SEALED) {
        let batch = Batch::of(of.tenant, entries);
        let (mut seal, bytes) = of.chain.next(of.tenant, &batch, at, &key);
        seal.signature = signer.sign(&bytes).await?;
        seals.push(NewSeal {
            seal,
            batch,
            chain: of.chain.clone(),
        });
    }
    Ok(())
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("key", &self.signer.key_name())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_host_asks_for_a_sealer_rests_and_its_batches_have_an_end() {
        let of = |options: SealOptions| (options.interval, options.batch, options.key_days);
        let all = |time, size, days| {
            SealOptions::default()
                .with_interval(time)
                .with_batch(size)
                .with_key_days(days)
        };
        let least = all(Duration::ZERO, 0, 0).bounded();
        assert_eq!(of(least), (LEAST_INTERVAL, 1, 1));
        let most = all(Duration::MAX, u32::MAX, u16::MAX).bounded();
        assert_eq!(of(most), (Duration::MAX, MOST_IN_BATCH, u16::MAX));
        let given = SealOptions::default();
        assert_eq!(of(given.clone().bounded()), of(given));
    }
}
