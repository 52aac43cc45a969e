//! A server that dies in the middle, in part or as a whole: what was acknowledged is there, nothing else is half
//! there, and sealing goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::{
    own_server::{Handles, OwnServer},
    seals::signer,
};
use tenancy_audit::{Ed25519Signer, FileAnchor, PgAuditLog, SealKeys, SealOptions, Sealer};
use tenancy_core::{Event, TenantCtx, TenantDb, TenantTx};

/// How many entries one change makes.
const BATCH: usize = 25;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A server with writers and a sealer at work.
struct Busy {
    server: OwnServer,
    signer: Arc<Ed25519Signer>,
    keys: SealKeys,
    folder: tempfile::TempDir,
    /// The changes whose writers were told that they are committed.
    done: Arc<Mutex<BTreeSet<Uuid>>>,
    stop: Arc<AtomicBool>,
    working: Vec<tokio::task::JoinHandle<()>>,
    seal: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Busy {
    async fn new() -> Self {
        let server = OwnServer::new().await;
        let log = server.connect().await;
        sqlx::raw_sql(
            "CREATE TABLE public.business (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id));
             GRANT SELECT, INSERT ON public.business TO tenancy_app;",
        )
        .execute(&log.superuser)
        .await
        .unwrap();
        let (signer, keys) = signer("one");
        let mut busy = Self {
            server,
            signer,
            keys,
            folder: tempfile::tempdir().unwrap(),
            done: Arc::default(),
            stop: Arc::default(),
            working: Vec::new(),
            seal: None,
        };
        busy.begin(&log);
        busy
    }

    fn begin(&mut self, log: &Handles) {
        for at in 0..4 {
            let (app, audit) = (log.app.clone(), log.audit.clone());
            let ctx = if at % 2 == 0 { &log.a } else { &log.b };
            let (ctx, done, stop) = (ctx.clone(), self.done.clone(), self.stop.clone());
            self.working.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let id = Uuid::now_v7();
                    match change(&app, &audit, &ctx, id).await {
                        Ok(()) => {
                            done.lock().unwrap().insert(id);
                        }
                        // The server is away, or the connection is one of before.
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            }));
        }
        let (sealer, (stop, stopped)) = (self.sealer(log), tokio::sync::oneshot::channel());
        self.seal = Some(stop);
        self.working.push(tokio::spawn(async move {
            sealer.run(async { drop(stopped.await) }).await;
        }));
    }

    fn sealer(&self, log: &Handles) -> Sealer {
        let options = SealOptions::default()
            .with_interval(Duration::from_millis(10))
            .with_batch(200);
        Sealer::new(log.worker.clone(), self.signer.clone())
            .with_options(options)
            .with_anchor(Arc::new(FileAnchor::new(self.heads())))
    }

    fn heads(&self) -> std::path::PathBuf {
        Path::join(self.folder.path(), "heads")
    }

    fn acknowledged(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    /// Waits until some more changes are done.
    async fn until_more(&self) {
        let (enough, deadline) = (self.acknowledged() + 8, Instant::now() + PATIENCE);
        while self.acknowledged() < enough {
            assert!(Instant::now() < deadline, "nothing more is done");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the work, looks at what is there, and goes on.
    async fn check(mut self, phantoms: &[Uuid]) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.seal.take());
        for task in std::mem::take(&mut self.working) {
            task.await.unwrap();
        }
        let log = self.server.connect().await;
        let changes: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM public.business")
            .fetch_all(&log.superuser)
            .await
            .unwrap();
        let entries: Vec<(Uuid, i64)> = sqlx::query_as(
            "SELECT (meta ->> 'id')::uuid, count(DISTINCT (meta ->> 'at')::int) FROM tenancy.audit_logs
             WHERE action = 'thing.made' GROUP BY 1 HAVING count(*) = count(DISTINCT meta ->> 'at')",
        )
        .fetch_all(&log.superuser)
        .await
        .unwrap();
        let (changes, entries): (BTreeSet<_>, BTreeMap<_, _>) =
            (changes.into_iter().collect(), entries.into_iter().collect());
        assert!(
            changes.iter().eq(entries.keys()),
            "each change has its entries, and the other way round"
        );
        let whole = i64::try_from(BATCH).unwrap();
        assert!(entries.values().all(|count| *count == whole), "all of them");
        let made = i64::try_from(changes.len() * BATCH).unwrap();
        assert_eq!(log.entries().await, made, "and nothing else");
        let lost: Vec<_> = {
            let done = self.done.lock().unwrap();
            done.difference(&changes).copied().collect()
        };
        assert!(lost.is_empty(), "acknowledged, and gone: {lost:?}");
        assert!(phantoms.iter().all(|id| !changes.contains(id)));
        let keys = "SELECT count(*) FROM tenancy.audit_keys k
            FULL JOIN tenancy.audit_logs l ON l.id = k.entry_id AND l.tenant_id = k.tenant_id
            WHERE k.entry_id IS NULL AND l.meta ->> 'at' = '0' OR l.id IS NULL";
        assert_eq!(log.count(keys).await, 0, "no key without its entry");

        let sealer = self.sealer(&log);
        for _ in 0..2 {
            log.seal_all(&sealer).await;
            let heads = std::fs::read(self.heads()).unwrap();
            log.verify(&self.keys, &heads).await;
            log.record(&log.a, 2).await;
        }
        println!(
            "{} changes, {} acknowledged",
            changes.len(),
            self.acknowledged()
        );
    }
}

/// A change with its entries, the first of them under a key.
async fn change(
    app: &TenantDb,
    audit: &PgAuditLog,
    ctx: &TenantCtx,
    id: Uuid,
) -> Result<(), Failure> {
    let tx = begun(app, audit, ctx, id).await?;
    Ok(tx.commit().await?)
}

async fn begun(
    app: &TenantDb,
    audit: &PgAuditLog,
    ctx: &TenantCtx,
    id: Uuid,
) -> Result<TenantTx, Failure> {
    let mut tx = app.write(ctx).await?;
    sqlx::query("INSERT INTO public.business (tenant_id, id) VALUES ($1, $2)")
        .bind(ctx.tenant())
        .bind(id)
        .execute(&mut *tx)
        .await?;
    let event = |at: usize| {
        let event = Event::new("thing.made").meta("id", id.to_string());
        let event = event.meta("at", at);
        match at {
            0 => event.idempotency_key(id.to_string()),
            _ => event,
        }
    };
    let events = (0..BATCH).map(event).collect();
    audit.record_batch_in(&mut tx, events).await?;
    Ok(tx)
}

fn rounds(least: usize) -> usize {
    let given = std::env::var("TENANCY_SERVER_KILLS").ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(least)
}

/// A process of the server that is writing entries just now.
async fn writing(url: &str) -> u32 {
    let writing = "SELECT pid FROM pg_stat_activity
        WHERE usename = 'own_app' AND state = 'active' AND query LIKE '%INSERT INTO tenancy.audit_logs%' LIMIT 1";
    let deadline = Instant::now() + PATIENCE;
    let mut conn = PgConnection::connect(url).await.unwrap();
    loop {
        let found: Option<i32> = sqlx::query_scalar(writing)
            .fetch_optional(&mut conn)
            .await
            .unwrap();
        if let Some(process) = found {
            return process.cast_unsigned();
        }
        assert!(Instant::now() < deadline, "nobody writes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_killed_in_the_middle_of_a_batch_leaves_a_whole_log() {
    let busy = Busy::new().await;
    let url = busy.server.cluster.superuser_url("postgres");
    let mut phantoms = Vec::new();
    for round in 0..rounds(4) {
        busy.until_more().await;
        if round % 2 == 0 {
            // It may be at its end before it is killed.
            while !busy
                .server
                .cluster
                .kill_backend(writing(&url).await)
                .unwrap()
            {}
        } else {
            let log = busy.server.connect().await;
            let id = Uuid::now_v7();
            let mut tx = begun(&log.app, &log.audit, &log.a, id).await.unwrap();
            let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            let process = process.cast_unsigned();
            assert!(busy.server.cluster.kill_backend(process).unwrap());
            assert!(tx.commit().await.is_err(), "nobody is there to commit");
            phantoms.push(id);
        }
    }
    busy.until_more().await;
    busy.check(&phantoms).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_as_a_whole_leaves_a_whole_log() {
    let mut busy = Busy::new().await;
    let mut phantoms = Vec::new();
    for _ in 0..rounds(3) {
        busy.until_more().await;
        let log = busy.server.connect().await;
        let id = Uuid::now_v7();
        let tx = begun(&log.app, &log.audit, &log.b, id).await.unwrap();
        busy.server.cluster.kill().unwrap();
        assert!(tx.commit().await.is_err(), "nobody is there to commit");
        phantoms.push(id);
        busy.server.cluster.start_again().await.unwrap();
    }
    busy.until_more().await;
    busy.check(&phantoms).await;
}
