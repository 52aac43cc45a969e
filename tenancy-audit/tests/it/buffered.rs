//! The buffered log: bounded, counted, and never silently less than asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::support::{Counters, House};
use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use tenancy_audit::{
    AuditEntryId, AuditQuery, AuditStore, AuditWriter, BufferOptions, BufferedAudit, CountBy,
    Counts, Draft, Entry, Error, Followed, Mark, Overflow, Page, testing::MemoryAuditStore,
};
use tenancy_core::{AuditSink as _, Event, TenantCtx, TenantTx};
use tokio::sync::Semaphore;

/// Writes only while it has permits, and fails the tries it is told to fail.
pub(crate) struct Gate {
    pub(crate) inner: MemoryAuditStore,
    open: Semaphore,
    failures: std::sync::Mutex<Vec<tenancy_core::Error>>,
    pub(crate) panics: AtomicU64,
}

impl Gate {
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        let inner = MemoryAuditStore::new();
        Arc::new(Self {
            inner,
            open: Semaphore::new(permits),
            failures: Vec::new().into(),
            panics: AtomicU64::new(0),
        })
    }

    fn failing(failures: Vec<tenancy_core::Error>) -> Arc<Self> {
        let gate = Self::new(1_000);
        *gate.failures.lock().unwrap() = failures;
        gate
    }
}

#[async_trait]
impl AuditStore for Gate {
    async fn append(&self, ctx: &TenantCtx, drafts: &[Draft]) -> Result<Vec<AuditEntryId>, Error> {
        self.open.acquire().await.unwrap().forget();
        let left = self.panics.load(Ordering::Relaxed);
        if left > 0 {
            self.panics.store(left - 1, Ordering::Relaxed);
            panic!("planted");
        }
        if let Some(error) = self.failures.lock().unwrap().pop() {
            return Err(error.into());
        }
        self.inner.append(ctx, drafts).await
    }

    async fn append_in(
        &self,
        tx: &mut TenantTx,
        drafts: &[Draft],
    ) -> Result<Vec<AuditEntryId>, Error> {
        self.inner.append_in(tx, drafts).await
    }

    async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Option<Entry>, Error> {
        self.inner.get(ctx, id).await
    }

    async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error> {
        self.inner.search(ctx, query).await
    }

    async fn count(
        &self,
        ctx: &TenantCtx,
        query: &AuditQuery,
        by: CountBy,
        most: u32,
    ) -> Result<Counts, Error> {
        self.inner.count(ctx, query, by, most).await
    }

    async fn mark(&self, ctx: &TenantCtx) -> Result<Mark, Error> {
        self.inner.mark(ctx).await
    }

    async fn follow(&self, ctx: &TenantCtx, mark: &Mark, most: u16) -> Result<Followed, Error> {
        self.inner.follow(ctx, mark, most).await
    }
}

pub(crate) fn buffered(store: Arc<Gate>, options: BufferOptions) -> BufferedAudit {
    BufferedAudit::new(
        AuditWriter::new(store),
        options.with_max_delay(Duration::from_millis(1)),
    )
}

fn small() -> BufferOptions {
    BufferOptions::default().with_capacity(4).with_max_batch(2)
}

pub(crate) fn event(at: usize) -> Event {
    Event::new("thing.made").meta("at", at)
}

#[tokio::test]
async fn entries_of_many_actors_and_tenants_arrive_under_their_own_names() {
    let house = House::new().await;
    let member = house.member(&house.a).await;
    let audit = BufferedAudit::new(house.audit.writer().clone(), BufferOptions::default());
    for at in 0..300 {
        let ctx = [&house.a, &house.b, &member][at % 3];
        audit.record(ctx, event(at)).await.unwrap();
    }
    let stats = audit.shutdown().await.unwrap();
    assert_eq!(
        (stats.accepted, stats.written, stats.dropped, stats.lost),
        (300, 300, 0, 0)
    );
    let (of_a, of_b) = (house.entries(&house.a).await, house.entries(&house.b).await);
    assert_eq!((of_a.len(), of_b.len()), (200, 100));
    assert_eq!(
        of_a.iter()
            .filter(|entry| entry.actor.user == member.user())
            .count(),
        100
    );
    assert!(of_a.iter().all(|entry| entry.verify().is_intact()));

    let refused = audit.record(&house.a, event(0)).await.unwrap_err();
    assert_eq!(refused.code(), "audit_buffer_closed");
}

#[tokio::test]
async fn a_batch_waits_for_nobody_and_neither_does_who_asks() {
    const HOUR: Duration = Duration::from_hours(1);
    let house = House::new().await;
    let options = BufferOptions::default()
        .with_max_batch(5)
        .with_max_delay(HOUR);
    for (capacity, events, batch) in [(100, 20, 5), (4, 4, 2), (1, 1, 1)] {
        let options = options.clone().with_capacity(capacity);
        let audit = BufferedAudit::new(house.audit.writer().clone(), options);
        for at in 0..events {
            audit.record(&house.a, event(at)).await.unwrap();
        }
        let written = async {
            while audit.stats().written < batch {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = Duration::from_secs(30);
        let done = tokio::time::timeout(patience, written).await;
        done.unwrap_or_else(|_| panic!("{events} of {capacity}: {:?}", audit.stats()));
    }

    let audit = BufferedAudit::new(house.audit.writer().clone(), options);
    audit.record(&house.a, event(0)).await.unwrap();
    assert_eq!(audit.flush().await.unwrap().written, 1);
    audit.record(&house.a, event(1)).await.unwrap();
    assert_eq!(audit.shutdown().await.unwrap().written, 2);
}

#[tokio::test]
async fn the_end_is_waited_for_by_nobody() {
    let house = House::new().await;
    // More than there is time; it is bounded.
    let options = BufferOptions::default().with_max_delay(Duration::MAX);
    for by_name in [true, false] {
        let audit = BufferedAudit::new(house.audit.writer().clone(), options.clone());
        let other = audit.clone();
        audit.record(&house.a, event(0)).await.unwrap();
        // The worker is asleep by then, with one entry in hand.
        tokio::time::sleep(Duration::from_millis(50)).await;
        other.record(&house.a, event(1)).await.unwrap();
        let before = house.entries(&house.a).await.len();
        if by_name {
            let patience = Duration::from_secs(30);
            let done = tokio::time::timeout(patience, audit.shutdown()).await;
            assert_eq!(done.unwrap().unwrap().written, 2);
        } else {
            drop((audit, other));
        }
        let mut tries = 0;
        while house.entries(&house.a).await.len() < before + 2 {
            tries += 1;
            assert!(tries < 600, "what is in the queue is written at the end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_where_the_host_chose_that() {
    let house = House::new().await;
    let gate = Gate::new(0);
    let audit = buffered(gate.clone(), small().with_overflow(Overflow::Drop));
    for at in 0..100 {
        audit.record(&house.a, event(at)).await.unwrap();
    }
    let stats = audit.stats();
    assert!(stats.dropped >= 90, "{stats:?}");
    gate.open.add_permits(1_000);
    let stats = audit.shutdown().await.unwrap();
    assert_eq!(stats.accepted + stats.dropped, 100);
    assert_eq!(stats.written, stats.accepted);
    assert_eq!(gate.inner.entries().len() as u64, stats.written);
}

#[tokio::test]
async fn a_full_queue_makes_the_caller_wait_otherwise() {
    let house = House::new().await;
    let gate = Gate::new(0);
    let audit = buffered(gate.clone(), small());
    let recording = {
        let (audit, ctx) = (audit.clone(), house.a.clone());
        tokio::spawn(async move {
            for at in 0..20 {
                audit.record(&ctx, event(at)).await.unwrap();
            }
        })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!recording.is_finished(), "the queue is bounded");
    gate.open.add_permits(1_000);
    recording.await.unwrap();
    let stats = audit.shutdown().await.unwrap();
    assert_eq!((stats.accepted, stats.written, stats.dropped), (20, 20, 0));
}

#[tokio::test]
async fn what_is_in_the_queue_is_written_when_the_last_handle_goes() {
    let house = House::new().await;
    let gate = Gate::new(1_000);
    let audit = buffered(gate.clone(), BufferOptions::default());
    for at in 0..50 {
        audit.record(&house.a, event(at)).await.unwrap();
    }
    drop(audit);
    for _ in 0..100 {
        if gate.inner.entries().len() == 50 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} of 50 entries were written", gate.inner.entries().len());
}

fn failure(kind: tenancy_core::ErrorKind) -> tenancy_core::Error {
    tenancy_core::Error::new(kind, "planted", "planted")
}

#[tokio::test]
async fn a_database_that_comes_back_loses_nothing() {
    use tenancy_core::ErrorKind::{CommitOutcomeUnknown, Unavailable};
    let house = House::new().await;
    let gate = Gate::failing(vec![failure(Unavailable), failure(CommitOutcomeUnknown)]);
    let audit = buffered(gate.clone(), BufferOptions::default());
    audit.record(&house.a, event(1)).await.unwrap();
    let stats = audit.shutdown().await.unwrap();
    assert_eq!((stats.written, stats.lost), (1, 0));
    assert_eq!(gate.inner.entries().len(), 1);
}

#[tokio::test]
async fn a_database_that_stays_away_is_counted() {
    let house = House::new().await;
    let failures = (0..10)
        .map(|_| failure(tenancy_core::ErrorKind::Unavailable))
        .collect();
    let audit = buffered(
        Gate::failing(failures),
        BufferOptions::default().with_attempts(2),
    );
    audit.record(&house.a, event(1)).await.unwrap();
    let stats = audit.flush().await.unwrap();
    assert_eq!((stats.accepted, stats.written, stats.lost), (1, 0, 1));
}

#[tokio::test]
async fn one_entry_that_is_refused_does_not_take_the_others_along() {
    let house = House::new().await;
    let gate = Gate::failing(vec![
        failure(tenancy_core::ErrorKind::InvalidInput),
        failure(tenancy_core::ErrorKind::InvalidInput),
    ]);
    let audit = buffered(gate, BufferOptions::default());
    for at in 0..5 {
        audit.record(&house.a, event(at)).await.unwrap();
    }
    let stats = audit.shutdown().await.unwrap();
    assert_eq!((stats.written, stats.lost), (4, 1));
}

#[tokio::test]
async fn what_is_on_its_way_when_the_runtime_ends_is_counted() {
    let house = House::new().await;
    let ctx = house.a.clone();
    let stats = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let audit = runtime.block_on(async {
            // Two batches are stuck, others are in the queue.
            let audit = buffered(Gate::new(1), small().with_capacity(20));
            for at in 0..20 {
                audit.record(&ctx, event(at)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            audit
        });
        drop(runtime);
        audit.stats()
    });
    let stats = stats.join().unwrap();
    assert_eq!(stats.accepted, 20);
    assert!(stats.written >= 1 && stats.lost >= 10, "{stats:?}");
    assert_eq!(stats.written + stats.lost, stats.accepted);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_written_twice() {
    let house = House::new().await;
    let writer = AuditWriter::new(Arc::new(Forgetful(house.store())));
    let audit = BufferedAudit::new(writer, BufferOptions::default().with_max_batch(10));
    for at in 0..30 {
        audit.record(&house.a, event(at)).await.unwrap();
    }
    let stats = audit.shutdown().await.unwrap();
    assert_eq!((stats.written, stats.lost), (30, 0));
    assert_eq!(house.entries(&house.a).await.len(), 30);
}

/// Stores, and then says that it does not know.
struct Forgetful(tenancy_audit::PgAuditStore);

#[async_trait]
impl AuditStore for Forgetful {
    async fn append(&self, ctx: &TenantCtx, drafts: &[Draft]) -> Result<Vec<AuditEntryId>, Error> {
        self.0.append(ctx, drafts).await?;
        Err(failure(tenancy_core::ErrorKind::CommitOutcomeUnknown).into())
    }

    async fn append_in(
        &self,
        tx: &mut TenantTx,
        drafts: &[Draft],
    ) -> Result<Vec<AuditEntryId>, Error> {
        self.0.append_in(tx, drafts).await
    }

    async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Option<Entry>, Error> {
        self.0.get(ctx, id).await
    }

    async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error> {
        self.0.search(ctx, query).await
    }

    async fn count(
        &self,
        ctx: &TenantCtx,
        query: &AuditQuery,
        by: CountBy,
        most: u32,
    ) -> Result<Counts, Error> {
        self.0.count(ctx, query, by, most).await
    }

    async fn mark(&self, ctx: &TenantCtx) -> Result<Mark, Error> {
        self.0.mark(ctx).await
    }

    async fn follow(&self, ctx: &TenantCtx, mark: &Mark, most: u16) -> Result<Followed, Error> {
        self.0.follow(ctx, mark, most).await
    }
}

#[tokio::test]
async fn an_entry_is_of_the_time_at_which_it_was_recorded() {
    let house = House::new().await;
    let gate = Gate::new(0);
    let audit = buffered(gate.clone(), BufferOptions::default());
    // Ids hold milliseconds.
    let before = Utc::now() - TimeDelta::milliseconds(1);
    audit.record(&house.a, event(1)).await.unwrap();
    let after = Utc::now();
    tokio::time::sleep(Duration::from_millis(400)).await;
    gate.open.add_permits(1);
    audit.shutdown().await.unwrap();
    let entry = gate.inner.entries().remove(0);
    let occurred = entry.occurred_at();
    assert!(occurred >= before && occurred <= after, "{occurred}");
    assert!(entry.created_at >= after + TimeDelta::milliseconds(300));

    // The same where the database takes the entries in.
    let options = BufferOptions::default().with_max_delay(Duration::from_millis(500));
    let audit = BufferedAudit::new(house.audit.writer().clone(), options);
    let before = Utc::now() - TimeDelta::milliseconds(1);
    audit.record(&house.a, event(2)).await.unwrap();
    let after = Utc::now();
    tokio::time::sleep(Duration::from_millis(700)).await;
    audit.shutdown().await.unwrap();
    let entry = house.entries(&house.a).await.remove(0);
    let occurred = entry.occurred_at();
    assert!(occurred >= before && occurred <= after, "{occurred}");
    assert!(entry.created_at >= after + TimeDelta::milliseconds(300));
}

#[tokio::test]
async fn what_becomes_of_entries_is_counted_for_dashboards() {
    let counters = Counters::default();
    let counting = metrics::set_default_local_recorder(&counters);
    let house = House::new().await;
    let gate = Gate::new(0);
    let options = small().with_overflow(Overflow::Drop).with_attempts(1);
    let audit = buffered(gate.clone(), options);
    let unavailable = failure(tenancy_core::ErrorKind::Unavailable);
    *gate.failures.lock().unwrap() = vec![unavailable];
    for at in 0..100 {
        audit.record(&house.a, event(at)).await.unwrap();
    }
    gate.open.add_permits(1_000);
    let stats = audit.shutdown().await.unwrap();
    drop(counting);
    assert!(
        stats.written > 0 && stats.dropped > 0 && stats.lost > 0,
        "{stats:?}"
    );
    assert_eq!(stats.written + stats.lost + stats.dropped, 100);
    for (name, count) in [
        ("tenancy_audit_written_total", stats.written),
        ("tenancy_audit_dropped_total", stats.dropped),
        ("tenancy_audit_lost_total", stats.lost),
    ] {
        assert_eq!(counters.of(name), count, "{name}");
    }
}
