//! Anchors that hang, are slow or take little at once: sealing goes on, and they get what they lack.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{Json, Router, extract::DefaultBodyLimit, http::StatusCode, routing::post};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    anchors::{heads, serve},
    seals::{proofs, record, seal_all, sealed, signer},
    support::House,
};
use tenancy_audit::{
    Error, FileAnchor, HttpAnchor, SealAnchor, SealHead, SealOptions, SealSigner, Sealer,
};
use tenancy_core::{DbOptions, WorkerDb};

/// Keeps what it is given, after a while.
struct Slow {
    takes: Duration,
    kept: Mutex<Vec<SealHead>>,
    calls: Mutex<usize>,
}

impl Slow {
    fn new(takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            takes,
            kept: Mutex::default(),
            calls: Mutex::default(),
        })
    }

    fn numbers(&self) -> Vec<u64> {
        let kept = self.kept.lock().unwrap();
        kept.iter().map(|head| head.number).collect()
    }
}

#[async_trait]
impl SealAnchor for Slow {
    fn place(&self) -> String {
        "slow".to_owned()
    }

    async fn publish(&self, heads: &[SealHead]) -> Result<(), Error> {
        *self.calls.lock().unwrap() += 1;
        tokio::time::sleep(self.takes).await;
        self.kept.lock().unwrap().extend_from_slice(heads);
        Ok(())
    }
}

const FOR_EVER: Duration = Duration::from_hours(24);

/// Whoever ends by itself takes less, and what is cut off after five seconds takes longer.
const BY_ITSELF: Duration = Duration::from_secs(4);

/// A sealer that runs until it is told to stop.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(sealer: &Sealer) -> Self {
        let options = SealOptions::default().with_interval(Duration::from_millis(20));
        let sealer = sealer.clone().with_options(options);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move { sealer.run(async { drop(stopped.await) }).await });
        Self { stop, task }
    }

    /// How long it took to end.
    async fn stop(self) -> Duration {
        let begun = Instant::now();
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        begun.elapsed()
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

async fn until_sealed(house: &House, all: i64) {
    let superuser = house.superuser().await;
    until("not sealed", async || sealed(&superuser).await == all).await;
}

fn sealer(house: &House, signer: Arc<dyn SealSigner>) -> Sealer {
    Sealer::new(house.db.worker.clone(), signer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_holds_up_neither_sealing_nor_another_anchor_nor_the_end() {
    let (house, folder) = (House::new().await, tempfile::tempdir().unwrap());
    let (signer, path) = (signer("one").0, folder.path().join("heads"));
    let hangs = Slow::new(FOR_EVER);
    let running = Running::start(
        &sealer(&house, signer.clone())
            .with_anchor(hangs.clone())
            .with_anchor(Arc::new(FileAnchor::new(&path))),
    );
    for all in [1, 2, 3] {
        record(&house, &house.a, 1).await;
        until_sealed(&house, all).await;
        let asked = async || *hangs.calls.lock().unwrap() == 1;
        until("it is not asked", asked).await;
    }
    let newest = async || heads(&path).last().is_some_and(|head| head.number == 3);
    until("the other one lacks a head", newest).await;
    let took = running.stop().await;
    assert!(took < Duration::from_mins(1), "{took:?}");
    assert_eq!(*hangs.calls.lock().unwrap(), 1, "one call at a time");
    assert!(hangs.numbers().is_empty());
    // Under this name it comes back, and gets what it lacks.
    let back = Slow::new(Duration::ZERO);
    let next = sealer(&house, signer).with_anchor(back.clone());
    assert_eq!(next.seal().await.unwrap().unpublished, 0);
    assert_eq!(back.numbers(), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_clean_end_a_slow_one_has_everything_in_order() {
    let house = House::new().await;
    let slow = Slow::new(Duration::from_millis(300));
    let sealer = sealer(&house, signer("one").0).with_anchor(slow.clone());
    let running = Running::start(&sealer);
    for all in 1..=4 {
        record(&house, &house.a, 1).await;
        until_sealed(&house, all).await;
    }
    let took = running.stop().await;
    assert!(took < BY_ITSELF, "{took:?}");
    let (numbers, newest) = (slow.numbers(), proofs(&house).head(&house.a).await.unwrap());
    assert_eq!(slow.kept.lock().unwrap().last(), newest.as_ref());
    // One that is looked for while it is on its way comes twice, which changes nothing.
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_can_not_be_forgotten_now_hold_up_no_seal() {
    let house = House::new().await;
    let superuser = house.superuser().await;
    let mut locked = superuser.begin().await.unwrap();
    // Whoever deletes waits for it. It has written nothing, and so is in nobody's way itself.
    sqlx::raw_sql("LOCK TABLE tenancy.audit_keys IN EXCLUSIVE MODE")
        .execute(&mut *locked)
        .await
        .unwrap();
    let mut patient = DbOptions::default();
    (patient.lock_timeout, patient.statement_timeout) = (FOR_EVER, FOR_EVER);
    let worker = WorkerDb::connect_with(house.db.server.worker_url(), &patient).await;
    let running = Running::start(&Sealer::new(worker.unwrap(), signer("one").0));
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted
         AND relation = 'tenancy.audit_keys'::regclass";
    let waits = async || {
        let waiting = sqlx::query_scalar::<_, i64>(waiting);
        waiting.fetch_one(&superuser).await.unwrap() == 1
    };
    until("nobody forgets", &waits).await;
    record(&house, &house.a, 2).await;
    until_sealed(&house, 2).await;
    assert!(waits().await);
    let took = running.stop().await;
    assert!(took < BY_ITSELF, "{took:?}");
}

/// As many tenants as a copy of an entry is made for, and one.
async fn record_of_many(house: &House, tenants: i32) {
    record(house, &house.a, 1).await;
    let copy = "INSERT INTO tenancy.audit_logs
         SELECT (jsonb_populate_record(l, jsonb_build_object('tenant_id', gen_random_uuid()))).*
         FROM tenancy.audit_logs l, generate_series(1, $1)";
    let mut tx = house.superuser().await.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL session_replication_role = replica")
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query(copy)
        .bind(tenants)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn very_many_heads_are_given_in_parts_and_those_that_were_taken_not_again() {
    const MOST: usize = 100 * 1024;
    let house = House::new().await;
    record_of_many(&house, 600).await;
    let parts = Arc::new(Mutex::new(Vec::<Vec<SealHead>>::new()));
    let answer = {
        let parts = parts.clone();
        let calls = Mutex::new(0);
        move |Json(heads): Json<Vec<SealHead>>| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            // In the middle it is away once.
            let away = *calls == 3;
            if !away {
                parts.lock().unwrap().push(heads);
            }
            std::future::ready(if away {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::NO_CONTENT
            })
        }
    };
    let answer = Arc::new(answer);
    let app =
        post(move |heads: Json<Vec<SealHead>>| answer(heads)).layer(DefaultBodyLimit::max(MOST));
    let url = serve(Router::new().route("/heads", app)).await + "/heads";
    let anchor = Arc::new(HttpAnchor::new(url.as_str()).unwrap());
    let sealer = sealer(&house, signer("one").0).with_anchor(anchor);
    seal_all(&house, &sealer, 601).await;
    let took: usize = parts.lock().unwrap().iter().map(Vec::len).sum();
    assert!((1..601).contains(&took), "{took}");
    let left = sealer.seal().await.unwrap();
    assert_eq!(left.unpublished, 0);
    let parts = parts.lock().unwrap();
    assert!(parts.len() >= 3, "{}", parts.len());
    let mut tenants: Vec<_> = parts.iter().flatten().map(|head| head.tenant).collect();
    assert_eq!(tenants.len(), 601, "each once");
    tenants.sort();
    tenants.dedup();
    assert_eq!(tenants.len(), 601);
}
