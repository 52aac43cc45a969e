//! Enqueuing: with the caller's transaction, once a key, within limits.

use std::time::Duration;

use serde_json::json;
use tenancy_core::{JobId, JobSink, NewJob};
use tenancy_jobs::{ErrorKind, QueueOptions};

use crate::{
    child::{Child, Mode},
    support::{House, KIND, queue},
};

fn keyed(key: impl Into<String>) -> NewJob {
    NewJob::new(KIND, json!(null)).with_idempotency_key(key)
}

async fn jobs(house: &House) -> i64 {
    house
        .number(&house.a, "SELECT count(*) FROM tenancy.jobs")
        .await
}

#[tokio::test]
async fn an_enqueue_that_is_rolled_back_is_no_job() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    house.jobs.enqueue_in(&mut tx, keyed("k")).await.unwrap();
    house
        .jobs
        .enqueue_many_in(&mut tx, vec![keyed("l"), keyed("m")])
        .await
        .unwrap();
    drop(tx);
    assert_eq!(jobs(&house).await, 0);
    assert_eq!(
        house
            .number(&house.a, "SELECT count(*) FROM tenancy.job_keys")
            .await,
        0
    );
}

#[tokio::test]
async fn two_processes_that_enqueue_the_same_keys_at_once_get_the_same_jobs() {
    let house = House::new().await;
    let children = [(); 2].map(|()| Child::spawn(&house, Mode::Enqueue, &house.a));
    let printed = children.map(Child::output);
    let [one, two] = printed;
    assert_eq!(one.len(), 400, "one by one and in bulk");
    assert_eq!(one, two);
    assert_eq!(jobs(&house).await, 200 + 200);
}

#[tokio::test]
async fn an_enqueue_waits_for_one_of_the_same_key_that_is_under_way_and_takes_its_place_if_it_fails()
 {
    let house = House::new().await;
    for commits in [true, false] {
        let key = format!("k{commits}");
        let mut tx = house.db.app.write(&house.a).await.unwrap();
        let first = house.jobs.enqueue_in(&mut tx, keyed(&key)).await.unwrap();
        let (jobs, ctx) = (house.jobs.clone(), house.a.clone());
        let second = tokio::spawn(async move { jobs.enqueue(&ctx, keyed(key)).await.unwrap() });
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(!second.is_finished(), "it waits");
        if commits {
            tx.commit().await.unwrap();
            assert_eq!(second.await.unwrap(), first);
        } else {
            tx.rollback().await.unwrap();
            assert_ne!(second.await.unwrap(), first);
        }
    }
    assert_eq!(jobs(&house).await, 2);
}

#[tokio::test]
async fn a_key_is_free_again_when_its_time_after_the_job_is_up() {
    let house = House::new().await;
    let id = house.jobs.enqueue(&house.a, keyed("k")).await.unwrap();
    house.jobs.cancel(&house.a, id).await.unwrap();
    assert_eq!(house.jobs.enqueue(&house.a, keyed("k")).await.unwrap(), id);
    house
        .plant("UPDATE tenancy.job_keys SET expires_at = now() - interval '1 s'")
        .await;
    assert_ne!(house.jobs.enqueue(&house.a, keyed("k")).await.unwrap(), id);
}

#[tokio::test]
async fn bad_input_is_refused_and_leaves_the_callers_transaction_usable() {
    let house = House::new().await;
    let small = QueueOptions::default().with_max_payload_bytes(100);
    let jobs_small = tenancy_jobs::JobQueue::with_options(
        house.db.app.clone(),
        std::sync::Arc::new(tenancy_core::testing::FakeAuthorizer::new()),
        crate::support::trail(&house.db.app),
        small,
    );
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let big = jobs_small
        .enqueue_in(&mut tx, NewJob::new(KIND, json!("x".repeat(101))))
        .await;
    assert_eq!(big.unwrap_err().kind(), ErrorKind::Limit);
    let nul = jobs_small
        .enqueue_in(&mut tx, NewJob::new(KIND, json!("\0")))
        .await;
    assert_eq!(nul.unwrap_err().code(), "job_payload_nul");
    let many = vec![keyed("x"); 10_001];
    let too_many = house.jobs.enqueue_many_in(&mut tx, many).await;
    assert_eq!(too_many.unwrap_err().code(), "job_batch_too_large");
    house.jobs.enqueue_in(&mut tx, keyed("good")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(jobs(&house).await, 1);

    let denied = jobs_small.get(&house.a, JobId::new()).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    let denied = jobs_small.cancel(&house.a, JobId::new()).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn the_port_of_the_family_stores_jobs_too() {
    let house = House::new().await;
    let sink: std::sync::Arc<dyn JobSink> = std::sync::Arc::new(queue(&house.db.app));
    let first = sink.enqueue(&house.a, keyed("k")).await.unwrap();
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    assert_eq!(sink.enqueue_in(&mut tx, keyed("k")).await.unwrap(), first);
    tx.commit().await.unwrap();
    let view = house.view(&house.a, first).await;
    assert_eq!(view.request, Some(house.a.request_id()));
}
