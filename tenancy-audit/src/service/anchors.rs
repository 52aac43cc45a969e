//! Publishing heads to one or more places outside of the database.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{self, Either};
use tenancy_core::TenantId;
use tokio::sync::{Mutex as Turn, Notify, watch};
use uuid::Uuid;

use super::sealer::pause;
use crate::{Error, ErrorKind, SealAnchor, SealHead, postgres::PgSeals};

/// How often it is looked whether a place lacks heads that another process sealed and did not publish.
const LOOK: Duration = Duration::from_mins(5);

/// How long a place may take for what it is given at once; longer than an HTTP anchor waits.
const PATIENCE: Duration = Duration::from_secs(90);

/// How many bytes a place is given at once, as JSON: less than what servers take by default.
const MOST_BYTES: usize = 64 * 1024;

/// The longest rest after heads were taken.
const MOST_REST: Duration = Duration::from_secs(1);

/// Of how many tenants heads are kept for a place that is away; of more they are read again.
const MOST_KEPT: usize = 100_000;

/// The places that heads are published to; each for itself, so that one that is away holds up no other.
#[derive(Clone, Default)]
pub(super) struct Anchors(Vec<Arc<Anchored>>);

struct Anchored {
    anchor: Arc<dyn SealAnchor>,
    place: String,
    state: Mutex<State>,
    /// Rung where there is something to publish.
    bell: Notify,
    /// Held while something is published: a place gets its heads one after the other.
    turn: Turn<()>,
}

#[derive(Default)]
struct State {
    /// The newest head of each tenant that was sealed here and that the place does not have.
    unpublished: BTreeMap<TenantId, SealHead>,
    /// When the last look began by which the place lacks nothing that others sealed.
    looked: Option<Instant>,
    /// When somebody last said that there may be something.
    asked: Option<Instant>,
}

impl Anchors {
    pub(super) fn add(&mut self, anchor: Arc<dyn SealAnchor>) {
        self.0.push(Arc::new(Anchored {
            place: anchor.place(),
            anchor,
            state: Mutex::default(),
            bell: Notify::new(),
            turn: Turn::new(()),
        }));
    }

    /// Takes the heads of a round; a tenant's later head takes the place of its earlier one.
    pub(super) fn take(&self, heads: &[SealHead]) {
        for anchored in &self.0 {
            anchored.state().take(heads);
            anchored.bell.notify_one();
        }
    }

    /// Another process has sealed: what it did not publish is looked for at the next turn.
    pub(super) fn look_soon(&self) {
        for anchored in &self.0 {
            anchored.state().asked = Some(Instant::now());
            anchored.bell.notify_one();
        }
    }

    /// Publishes what the places lack, to all of them at once. Failures are counted and logged, and what failed is
    /// tried again.
    pub(super) async fn publish(&self, store: &PgSeals) {
        let all = self.0.iter().map(|anchored| anchored.try_publish(store));
        future::join_all(all).await;
    }

    /// Publishes heads as they come, at most once in `every` to a place, or once a second if that is shorter, until
    /// `ended` is true, and then what is left.
    pub(super) async fn run(
        &self,
        store: &PgSeals,
        every: Duration,
        ended: &watch::Receiver<bool>,
    ) {
        let every = every.min(MOST_REST);
        let all = self
            .0
            .iter()
            .map(|anchored| anchored.run(store, every, ended.clone()));
        future::join_all(all).await;
    }

    /// How many tenants' newest heads one of the places lacks, of what was sealed here.
    pub(super) fn unpublished(&self) -> u64 {
        let counts = self
            .0
            .iter()
            .map(|anchored| anchored.state().unpublished.len());
        counts.max().unwrap_or_default() as u64
    }
}

impl Anchored {
    async fn run(&self, store: &PgSeals, every: Duration, mut ended: watch::Receiver<bool>) {
        let mut failures: u32 = 0;
        loop {
            let begun = Instant::now();
            let done = self.try_publish(store).await;
            failures = if done { 0 } else { failures.saturating_add(1) };
            let rest = async {
                if done {
                    tokio::time::sleep(every.saturating_sub(begun.elapsed())).await;
                    // Nobody rings for what other processes leave.
                    let _ = tokio::time::timeout(LOOK, self.bell.notified()).await;
                } else {
                    tokio::time::sleep(pause(failures)).await;
                }
            };
            let over = async { drop(ended.wait_for(|ended| *ended).await) };
            if let Either::Left(_) = future::select(pin!(over), pin!(rest)).await {
                self.try_publish(store).await;
                return;
            }
        }
    }

    /// Whether the place has all that is known of.
    async fn try_publish(&self, store: &PgSeals) -> bool {
        let _turn = self.turn.lock().await;
        let done = self.publish(store).await;
        if let Err(error) = &done {
            metrics::counter!("tenancy_audit_anchor_failures_total").increment(1);
            tracing::warn!(%error, code = error.code(), "heads of the audit log could not be anchored");
        }
        done.is_ok()
    }

    async fn publish(&self, store: &PgSeals) -> Result<(), Error> {
        let newest: Vec<SealHead> = self.state().unpublished.values().cloned().collect();
        for part in parts(&newest) {
            self.hand_over(store, part).await?;
            self.state().forget(part);
        }
        let begun = Instant::now();
        if self.state().is_looked_after() {
            return Ok(());
        }
        self.catch_up(store).await?;
        self.state().looked = Some(begun);
        Ok(())
    }

    /// Publishes what others sealed and did not live to publish, tenant by tenant.
    async fn catch_up(&self, store: &PgSeals) -> Result<(), Error> {
        let mut after = TenantId::from_uuid(Uuid::nil());
        loop {
            let heads = store.unanchored(&self.place, after).await?;
            let Some(last) = heads.last() else {
                return Ok(());
            };
            after = last.tenant;
            for part in parts(&heads) {
                self.hand_over(store, part).await?;
            }
        }
    }

    async fn hand_over(&self, store: &PgSeals, heads: &[SealHead]) -> Result<(), Error> {
        let taken = tokio::time::timeout(PATIENCE, self.anchor.publish(heads)).await;
        taken.map_err(|_| hangs())??;
        store.set_anchored(&self.place, heads).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, heads: &[SealHead]) {
        for head in heads {
            if self.unpublished.len() < MOST_KEPT || self.unpublished.contains_key(&head.tenant) {
                self.unpublished.insert(head.tenant, head.clone());
            } else {
                self.asked = Some(Instant::now());
            }
        }
    }

    /// The place has these. A tenant that was sealed meanwhile stays.
    fn forget(&mut self, heads: &[SealHead]) {
        for head in heads {
            if self.unpublished.get(&head.tenant) == Some(head) {
                self.unpublished.remove(&head.tenant);
            }
        }
    }

    fn is_looked_after(&self) -> bool {
        let since = |looked: Instant| self.asked.is_none_or(|asked| asked < looked);
        self.looked
            .is_some_and(|looked| looked.elapsed() < LOOK && since(looked))
    }
}

/// Heads in parts that a place is given at once.
fn parts(heads: &[SealHead]) -> impl Iterator<Item = &[SealHead]> {
    let mut left = heads;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |head: &&SealHead| {
            bytes += serde_json::to_vec(head).map_or(0, |json| json.len() + 1);
            bytes < MOST_BYTES
        };
        // One that is too long alone is given alone.
        let fitting = left.iter().take_while(fits).count().max(1);
        let (part, rest) = left.split_at_checked(fitting)?;
        left = rest;
        Some(part)
    })
}

fn hangs() -> Error {
    let message = "the anchor does not answer";
    Error::new(ErrorKind::Unavailable, "audit_anchor_unavailable", message)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::model::{Batch, Chain};

    fn heads(tenants: usize) -> Vec<SealHead> {
        let at = DateTime::<Utc>::UNIX_EPOCH;
        let head = |_| {
            let (tenant, mut chain) = (TenantId::new(), Chain::default());
            let (seal, _) = chain.next(tenant, &Batch::default(), at, "one");
            seal.head()
        };
        (0..tenants).map(head).collect()
    }

    #[test]
    fn heads_are_given_in_parts_that_servers_take_and_each_once() {
        let heads = heads(1_000);
        let given: Vec<&[SealHead]> = parts(&heads).collect();
        assert!(given.len() > 3);
        for part in &given {
            let body = serde_json::to_vec(part).unwrap();
            assert!(body.len() <= MOST_BYTES, "{}", body.len());
            assert!(part.len() >= 100 || part.last() == heads.last());
        }
        assert_eq!(given.concat(), heads);
        assert_eq!(parts(&[]).count(), 0);
        let mut long = heads[..3].to_vec();
        long[1].key = "x".repeat(2 * MOST_BYTES);
        let lengths: Vec<usize> = parts(&long).map(<[SealHead]>::len).collect();
        assert_eq!(lengths, [1, 1, 1]);
    }

    #[test]
    fn what_is_too_much_to_keep_is_looked_for() {
        let (heads, mut state) = (heads(MOST_KEPT + 1), State::default());
        state.looked = Some(Instant::now());
        state.take(&heads[..MOST_KEPT]);
        assert!(state.is_looked_after());
        state.take(&heads);
        assert_eq!(state.unpublished.len(), MOST_KEPT);
        assert!(!state.is_looked_after());
        state.forget(&heads);
        assert!(state.unpublished.is_empty());
    }
}
