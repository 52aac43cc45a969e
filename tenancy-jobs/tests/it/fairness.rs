//! A tenant with much work does not keep another from its turn.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use tenancy_core::{Error, JobRun, NewJob, TenantCtx, TenantId, testing::tenant};
use tenancy_jobs::{ClaimRequest, JobState, JobStore as _, PgJobStore, QueueName, WorkerInfo};

use crate::support::{AsyncWork, House, KIND, Running, fast, plain};

/// Notes whose jobs were started, in their order.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<TenantId>>>);

#[async_trait]
impl AsyncWork for Order {
    async fn work(&self, ctx: &TenantCtx, _: &JobRun) -> Result<Value, Error> {
        self.0.lock().unwrap().push(ctx.tenant());
        Ok(Value::Null)
    }
}

async fn flood(house: &House, ctx: &TenantCtx, jobs: usize) {
    let job = NewJob::new(KIND, json!(null));
    house.jobs.enqueue_many(ctx, vec![job; jobs]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_job_starts_within_a_batch_beside_five_thousand_of_another_tenant() {
    let house = House::new().await;
    flood(&house, &house.a, 5_000).await;
    let order = Order::default();
    let worker = Running::start(
        house
            .worker()
            .handler(plain(order.clone()))
            .options(fast().with_concurrency(8)),
    );
    crate::support::until("a start", async || {
        (!order.0.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    let before = order.0.lock().unwrap().len();
    let id = house
        .jobs
        .enqueue(&house.b, NewJob::new(KIND, json!(null)))
        .await
        .unwrap();
    let started = order.0.lock().unwrap().len();
    house.until(&house.b, id, JobState::Succeeded).await;
    let order = order.0.lock().unwrap().clone();
    let place = order
        .iter()
        .position(|tenant| *tenant == house.b.tenant())
        .unwrap();
    // What had started when it was enqueued, what was claimed at that moment, and its own batch.
    assert!(
        place <= started + 24,
        "place {place}, {before} to {started} had started before"
    );
    worker.stop().await;
}

#[tokio::test]
async fn every_one_of_many_tenants_is_served_before_any_is_served_twice() {
    let house = House::new().await;
    let mut tenants = vec![house.a.clone(), house.b.clone()];
    for _ in 0..38 {
        tenants.push(tenant(&house.db.app).await.unwrap());
    }
    for ctx in &tenants {
        flood(&house, ctx, 3).await;
    }
    let store = PgJobStore::new(house.db.worker.clone());
    let info = WorkerInfo::new(
        QueueName::DEFAULT,
        "test",
        std::time::Duration::from_mins(1),
    );
    store.register(&info).await.unwrap();
    // Batches smaller than the number of tenants: the ring is entered where it was left.
    let (mut after, mut seen) = (None, Vec::new());
    for _ in 0..4 {
        let request = ClaimRequest::new(QueueName::DEFAULT, vec![KIND], 10).with_after(after);
        let claimed = store
            .exchange(info.id, &[], &request)
            .await
            .unwrap()
            .claimed;
        assert_eq!(claimed.len(), 10);
        let mut tenants: Vec<TenantId> = claimed.iter().map(|job| job.job.tenant).collect();
        tenants.sort();
        after = tenants.last().copied();
        seen.extend(tenants);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 40, "forty jobs of forty tenants");
}
