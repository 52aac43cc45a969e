//! A worker or an enqueuer in a process of its own: this test binary, started again.

use std::{
    io::Read as _,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;
use tenancy_core::{NewJob, TenantCtx, TenantDb, TenantId, UserId, WorkerDb};
use tenancy_jobs::{Worker, WorkerOptions};
use tokio_util::sync::CancellationToken;

use crate::{
    leads::UpdateLeads,
    once::{HangAfterEffect, HangInTx},
    support::{House, KIND, fast, plain, queue, trail},
};

const VARIABLE: &str = "TENANCY_JOBS_TEST_CHILD";

/// What a child does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Enqueues 200 keys one by one and 200 in bulk, and prints the ids.
    Enqueue,
    /// Updates leads, slowly enough to be killed in the middle.
    Leads,
    /// Updates leads and stops itself with SIGSTOP before it writes the step after 2,500.
    LeadsThatStop,
    /// Writes an effect in a transaction of its own and never returns.
    Plain,
    /// Writes an effect in the queue's transaction and never returns.
    Tx,
}

/// A child process; killed with SIGKILL when it is dropped.
pub(crate) struct Child(pub(crate) std::process::Child);

impl Child {
    pub(crate) fn spawn(house: &House, mode: Mode, ctx: &TenantCtx) -> Self {
        let order = json!({
            "mode": format!("{mode:?}"),
            "app": house.db.server.app_url(),
            "worker": house.db.server.worker_url(),
            "tenant": ctx.tenant(),
            "user": ctx.user(),
        });
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "child::a_child_does_what_its_parent_asks",
                "--nocapture",
            ])
            .env(VARIABLE, order.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGKILL, and nothing else: no destructor runs.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.0)
    }

    /// The ids that an enqueuer printed.
    pub(crate) fn output(mut self) -> Vec<String> {
        let mut text = String::new();
        self.0
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(self.0.wait().unwrap().success(), "{text}");
        text.lines()
            .filter_map(|line| line.split_once("ID "))
            .map(|(_, id)| id.to_owned())
            .collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_does_what_its_parent_asks() {
    let Ok(order) = std::env::var(VARIABLE) else {
        return;
    };
    let order: serde_json::Value = serde_json::from_str(&order).unwrap();
    let text = |name: &str| order[name].as_str().unwrap().to_owned();
    let db = TenantDb::connect(&text("app")).await.unwrap();
    let worker = WorkerDb::connect(&text("worker")).await.unwrap();
    let builder = Worker::builder(worker, db.clone(), trail(&db)).options(fast());
    let builder = match text("mode").as_str() {
        "Enqueue" => {
            let tenant: TenantId = text("tenant").parse().unwrap();
            let user: UserId = text("user").parse().unwrap();
            return enqueue(&db, &db.enter(tenant, user).await.unwrap()).await;
        }
        "Leads" => builder.batch_handler(UpdateLeads::slow()),
        "LeadsThatStop" => builder
            .batch_handler(UpdateLeads::stopping())
            .options(silent()),
        "Plain" => builder.handler(plain(HangAfterEffect(db))),
        _ => builder.tx_handler(std::sync::Arc::new(HangInTx)),
    };
    let worker = builder.build().unwrap();
    let (running, never) = (worker.clone(), CancellationToken::new());
    tokio::spawn(async move { running.run(never).await.unwrap() });
    while worker.report().stale == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Its result was refused: that is what the parent waits for.
    std::process::exit(42);
}

/// A worker that does not find out by its heartbeat that it was taken for dead.
fn silent() -> WorkerOptions {
    fast().with_heartbeat(Duration::from_mins(2), Duration::from_mins(1))
}

async fn enqueue(db: &TenantDb, ctx: &TenantCtx) {
    let jobs = queue(db);
    let keyed = |key: String| NewJob::new(KIND, json!(null)).with_idempotency_key(key);
    for n in 0..200 {
        let id = jobs
            .enqueue(ctx, keyed(format!("single {n}")))
            .await
            .unwrap();
        println!("\nID {id}");
    }
    // Half of the processes the other way round: keys are taken in one order all the same.
    let mut bulk: Vec<usize> = (0..200).collect();
    let reversed = std::process::id().is_multiple_of(2);
    if reversed {
        bulk.reverse();
    }
    let keys = bulk.iter().map(|n| keyed(format!("bulk {n}"))).collect();
    let mut ids = jobs.enqueue_many(ctx, keys).await.unwrap();
    if reversed {
        ids.reverse();
    }
    for id in ids {
        println!("\nID {id}");
    }
}
