//! Many who write at the same time, while sealers seal and others verify: no false alarm.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Barrier, task::JoinHandle};

use crate::{
    own_server::TWICE,
    seals::{proofs, seal_all, signer},
    support::House,
    verify::report,
};
use tenancy_audit::{PgAuditLog, SealKeys, SealOptions, Sealer, Verifier};
use tenancy_core::{AuditSink as _, DbOptions, Event, TenantCtx, TenantDb, testing::tenant};

const WRITERS: usize = 32;
/// How many transactions each makes at least.
const EACH: usize = 40;

/// Who writes, and until when.
struct Writing {
    db: TenantDb,
    audit: PgAuditLog,
    together: Barrier,
    enough: AtomicBool,
    deadline: Instant,
}

impl Writing {
    async fn new(house: &House) -> Self {
        let connections = u32::try_from(WRITERS).unwrap();
        let options = DbOptions::default().with_max_connections(connections);
        let db = TenantDb::connect_with(house.db.server.app_url(), options);
        let db = db.await.unwrap();
        Self {
            audit: PgAuditLog::new(db.clone()),
            db,
            together: Barrier::new(WRITERS),
            enough: AtomicBool::new(false),
            deadline: Instant::now() + Duration::from_mins(1),
        }
    }

    fn goes_on(&self, at: usize) -> bool {
        at < EACH || !self.enough.load(Ordering::Relaxed) && Instant::now() < self.deadline
    }

    async fn write(&self, ctx: &TenantCtx, writer: usize) {
        let mut at = 0;
        while self.goes_on(at) {
            let mut tx = self.db.write(ctx).await.unwrap();
            let event = Event::new("thing.made");
            self.audit.record_in(&mut tx, event).await.unwrap();
            if at < EACH && at % 8 == 0 {
                // All of them have recorded and none has committed.
                self.together.wait().await;
            }
            // Some stay open over several rounds of a sealer.
            let open = match (writer + at) % 15 {
                0 => 70,
                5 | 10 => 3,
                _ => u64::from(at >= EACH) * 3,
            };
            tokio::time::sleep(Duration::from_millis(open)).await;
            if (writer + at).is_multiple_of(4) {
                tx.rollback().await.unwrap();
            } else {
                tx.commit().await.unwrap();
            }
            at += 1;
        }
    }
}

/// Verifies a tenant's log over and over, in a file and in the database, until it was seen as it grew.
async fn look(house: &House, ctx: &TenantCtx, keys: &SealKeys, deadline: Instant) {
    let verifier = Verifier::new(ctx.tenant(), keys.clone());
    let (mut seen, mut looks) = (BTreeSet::new(), 0);
    while seen.len() < 4 || looks < 8 {
        assert!(
            Instant::now() < deadline,
            "{looks} looks saw {seen:?} seals"
        );
        let found = if looks % 2 == 0 {
            report(house, ctx, keys).await
        } else {
            proofs(house).verify(ctx, &verifier).await.unwrap()
        };
        assert!(found.is_intact(), "{:?}", found.findings);
        seen.insert(found.seals);
        looks += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_writers_and_two_sealers_give_no_false_alarm() {
    let house = Arc::new(House::new().await);
    let writing = Arc::new(Writing::new(&house).await);
    let mut tenants = vec![house.a.clone(), house.b.clone()];
    for _ in 0..2 {
        tenants.push(tenant(&house.db.app).await.unwrap());
    }
    let (signer, keys) = signer("one");
    // They take all that is final at once: the seals reach up to what is being written.
    let options = SealOptions::default().with_interval(Duration::from_millis(20));
    let sealer = || {
        let sealer = Sealer::new(house.db.worker.clone(), signer.clone());
        sealer.with_options(options.clone())
    };
    let (stop, stopped) = tokio::sync::watch::channel(());
    let sealers: Vec<JoinHandle<()>> = [sealer(), sealer()]
        .into_iter()
        .map(|sealer| {
            let mut stopped = stopped.clone();
            tokio::spawn(async move {
                sealer.run(async { drop(stopped.changed().await) }).await;
            })
        })
        .collect();
    let writers: Vec<JoinHandle<()>> = (0..WRITERS)
        .map(|writer| {
            let (writing, ctx) = (writing.clone(), tenants[writer % tenants.len()].clone());
            tokio::spawn(async move { writing.write(&ctx, writer).await })
        })
        .collect();
    let looking: Vec<JoinHandle<()>> = tenants
        .iter()
        .map(|ctx| {
            let (house, ctx, keys) = (house.clone(), ctx.clone(), keys.clone());
            let deadline = writing.deadline;
            tokio::spawn(async move { look(&house, &ctx, &keys, deadline).await })
        })
        .collect();
    for looked in looking {
        looked.await.unwrap();
    }
    writing.enough.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    drop(stop);
    for ended in sealers {
        ended.await.unwrap();
    }

    let superuser = house.superuser().await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.audit_logs")
        .fetch_one(&superuser)
        .await
        .unwrap();
    seal_all(&house, &sealer(), stored).await;
    let mut entries = 0;
    for ctx in &tenants {
        let found = report(&house, ctx, &keys).await;
        assert!(found.is_intact(), "{:?}", found.findings);
        entries += found.entries;
    }
    assert_eq!(i64::try_from(entries).unwrap(), stored);
    assert!(stored >= 960, "{stored} entries");
    let twice: i64 = sqlx::query_scalar(TWICE)
        .fetch_one(&superuser)
        .await
        .unwrap();
    assert_eq!(twice, 0);
}
