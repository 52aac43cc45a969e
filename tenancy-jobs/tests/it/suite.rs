//! Both adapters keep the contract of the ports, and the suite would notice if they did not.

use std::sync::Arc;

use tenancy_core::{JobId, TenantCtx, TenantId, testing::conformance::job_sink};
use tenancy_jobs::{
    ErrorKind, JobLedger, JobQuery, JobStore, PgJobLedger, PgJobStore, TenantPolicy,
    testing::{MemoryJobStore, conformance},
};

use crate::support::House;

fn fixture(
    house: &House,
    store: Arc<dyn JobStore>,
    ledger: Arc<dyn JobLedger>,
) -> conformance::Fixture {
    let (db, a, b) = (house.db.app.clone(), house.a.clone(), house.b.clone());
    conformance::Fixture {
        store,
        ledger,
        db,
        a,
        b,
    }
}

#[tokio::test]
async fn postgres_conforms() {
    let house = House::new().await;
    let store = Arc::new(PgJobStore::new(house.db.worker.clone()));
    let ledger = Arc::new(PgJobLedger::new(house.db.app.clone()));
    conformance::all(&fixture(&house, store, ledger))
        .await
        .unwrap();
}

#[tokio::test]
async fn memory_conforms() {
    let house = House::new().await;
    let memory = Arc::new(MemoryJobStore::new());
    conformance::all(&fixture(&house, memory.clone(), memory))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_queue_keeps_the_contract_of_the_sink_that_the_family_shares() {
    let house = House::new().await;
    let ledger = PgJobLedger::new(house.db.app.clone());
    let stored = async |ctx: &TenantCtx| -> Vec<JobId> {
        let all = JobQuery::default().with_limit(500);
        let page = ledger.list(ctx, &all).await.unwrap();
        page.into_iter().map(|job| job.id).collect()
    };
    job_sink(&house.jobs, &house.db.app, &house.a, &house.b, stored)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_share_is_of_a_tenant_that_exists() {
    let house = House::new().await;
    let store = PgJobStore::new(house.db.worker.clone());
    let nobody = TenantId::new();
    for error in [
        store.policy(nobody).await.map(drop).unwrap_err(),
        store
            .set_policy(nobody, &TenantPolicy::default())
            .await
            .unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NotFound, "tenant_unknown")
        );
    }
}

/// What is taken out of the database's functions, each in a database of its own.
const FAULTS: [(&str, &str, &str); 12] = [
    ("tenancy.jobs_settle", " AND j.worker_id = p_worker", ""),
    ("tenancy.jobs_settle", "j.attempt = v.attempt AND ", ""),
    ("tenancy.jobs_settle", "j.tenant_id = v.tenant_id AND ", ""),
    ("tenancy.job_checkpoint", " AND j.worker_id = p_worker", ""),
    (
        "tenancy.jobs_quota",
        "IS NULL THEN s.share",
        "IS NULL THEN p_room",
    ),
    (
        "tenancy.jobs_quota",
        "s.max_in_flight - (",
        "s.max_in_flight - 0 * (",
    ),
    ("tenancy.jobs_tenants", "SELECT p.paused", "SELECT false"),
    ("tenancy.jobs_claim", "IF NOT FOUND", "IF false"),
    (
        "tenancy.jobs_take",
        "ORDER BY j.priority, j.run_at",
        "ORDER BY j.run_at",
    ),
    ("tenancy.jobs_sweep", "o.worker_id IS NOT NULL", "false"),
    ("tenancy.job_cancel", "j.tenant_id = this_tenant AND ", ""),
    ("tenancy.job_retry", "d.tenant_id = this_tenant AND ", ""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_every_planted_fault() {
    let mut runs = Vec::new();
    for fault @ (function, from, to) in FAULTS {
        let house = House::new().await;
        house.weaken(function, from, to).await;
        let run = tokio::spawn(async move {
            let store = Arc::new(PgJobStore::new(house.db.worker.clone()));
            let ledger = Arc::new(PgJobLedger::new(house.db.app.clone()));
            let passed = conformance::all(&fixture(&house, store, ledger)).await;
            passed.is_ok()
        });
        runs.push((fault, run));
    }
    for (fault, run) in runs {
        let passed = run.await.unwrap_or(false);
        assert!(!passed, "{fault:?} was not noticed");
    }
}
