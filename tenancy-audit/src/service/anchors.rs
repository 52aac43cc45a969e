//! Publishing heads to one or more places outside of the database.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tenancy_core::TenantId;
use uuid::Uuid;

use crate::{Error, SealAnchor, SealHead, postgres::PgSeals};

/// How often it is looked whether a place lacks heads that another process sealed and did not publish.
const LOOK: Duration = Duration::from_mins(5);

/// The places that heads are published to; each for itself, so that one that is away holds up no other.
#[derive(Clone, Default)]
pub(super) struct Anchors(Vec<Arc<Anchored>>);

struct Anchored {
    anchor: Arc<dyn SealAnchor>,
    place: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest head of each tenant that was sealed here and that the place does not have.
    unpublished: BTreeMap<TenantId, SealHead>,
    /// When it was last seen that the place lacks nothing that others sealed.
    looked: Option<Instant>,
}

impl Anchors {
    pub(super) fn add(&mut self, anchor: Arc<dyn SealAnchor>) {
        self.0.push(Arc::new(Anchored {
            place: anchor.place(),
            anchor,
            state: Mutex::default(),
        }));
    }

    /// Takes the heads of a round; a tenant's later head takes the place of its earlier one.
    pub(super) fn take(&self, heads: &[SealHead]) {
        for anchored in &self.0 {
            let heads = heads.iter().map(|head| (head.tenant, head.clone()));
            anchored.state().unpublished.extend(heads);
        }
    }

    /// Another process has sealed: what it did not publish is looked for at the next turn.
    pub(super) fn look_soon(&self) {
        for anchored in &self.0 {
            anchored.state().looked = None;
        }
    }

    /// Publishes what the places lack. Failures are counted and logged, and what failed is tried again.
    pub(super) async fn publish(&self, store: &PgSeals) {
        for anchored in &self.0 {
            if let Err(error) = anchored.publish(store).await {
                metrics::counter!("tenancy_audit_anchor_failures_total").increment(1);
                tracing::warn!(%error, code = error.code(), "heads of the audit log could not be anchored");
            }
        }
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
    async fn publish(&self, store: &PgSeals) -> Result<(), Error> {
        let heads = self.state().unpublished.clone();
        if !heads.is_empty() {
            let newest: Vec<SealHead> = heads.values().cloned().collect();
            self.hand_over(store, &newest).await?;
            // A tenant that was sealed meanwhile stays.
            self.state()
                .unpublished
                .retain(|tenant, head| heads.get(tenant) != Some(head));
        }
        let looked = self.state().looked;
        if looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        self.catch_up(store).await?;
        self.state().looked = Some(Instant::now());
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
            self.hand_over(store, &heads).await?;
        }
    }

    async fn hand_over(&self, store: &PgSeals, heads: &[SealHead]) -> Result<(), Error> {
        self.anchor.publish(heads).await?;
        store.set_anchored(&self.place, heads).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
