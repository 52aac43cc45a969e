//! Both adapters keep the contract of the ports.

use std::sync::Arc;

use tenancy_jobs::{
    JobLedger, JobStore, PgJobLedger, PgJobStore,
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
