//! x
#![allow(warnings, clippy::all)]
#[path = "it/support.rs"]
mod support;
use serde_json::json;
use std::time::*;
use tenancy_core::*;
use tenancy_jobs::*;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speed() {
    let house = support::House::new().await;
    let store = PgJobStore::new(house.db.worker.clone());
    let info = WorkerInfo::new(QueueName::DEFAULT, "t", Duration::from_secs(600));
    store.register(&info).await.unwrap();
    let req =
        |after, n| ClaimRequest::new(QueueName::DEFAULT, vec![support::KIND], n).with_after(after);
    for _ in 0..10 {
        store.exchange(info.id, &[], &req(None, 500)).await.unwrap();
    }
    let mut ctxs = vec![];
    for _ in 0..99 {
        ctxs.push(testing::tenant(&house.db.app).await.unwrap());
    }
    let job = NewJob::new(support::KIND, json!({"n":1}));
    let t = Instant::now();
    for _ in 0..4 {
        house
            .jobs
            .enqueue_many(&house.a, vec![job.clone(); 10_000])
            .await
            .unwrap();
    }
    println!(
        "enqueue 40k: {:?} {:.0}/s",
        t.elapsed(),
        40_000.0 / t.elapsed().as_secs_f64()
    );
    let keyed = |n: usize| job.clone().with_idempotency_key(format!("k{n}"));
    let t = Instant::now();
    house
        .jobs
        .enqueue_many(&house.a, (0..5000).map(keyed).collect())
        .await
        .unwrap();
    println!("enqueue keyed 5k: {:?}", t.elapsed());
    let t = Instant::now();
    house
        .jobs
        .enqueue_many(&house.a, (0..5000).map(keyed).collect())
        .await
        .unwrap();
    println!("enqueue keyed again 5k: {:?}", t.elapsed());
    for c in &ctxs {
        house
            .jobs
            .enqueue_many(c, vec![job.clone(); 50])
            .await
            .unwrap();
    }
    let (mut done, mut after, mut total) = (vec![], None, 0);
    let t = Instant::now();
    let mut worst = Duration::ZERO;
    loop {
        let s = Instant::now();
        let x = store
            .exchange(info.id, &done, &req(after, 500))
            .await
            .unwrap();
        worst = worst.max(s.elapsed());
        if total % 10_000 == 0 {
            println!("{total}: {:?} claimed {}", s.elapsed(), x.claimed.len());
        }
        if x.claimed.is_empty() {
            break;
        }
        total += x.claimed.len();
        after = None;
        done = x
            .claimed
            .iter()
            .map(|j| Settlement::new(j.job, Verdict::Succeeded(json!(null))))
            .collect();
    }
    println!(
        "drained {total} in {:?} {:.0}/s worst {:?}",
        t.elapsed(),
        total as f64 / t.elapsed().as_secs_f64(),
        worst
    );
    let t = Instant::now();
    for _ in 0..200 {
        house.jobs.enqueue(&house.a, job.clone()).await.unwrap();
    }
    println!("single: {:?} each", t.elapsed() / 200);
    let w = support::Running::start(
        house
            .worker()
            .handler(support::plain(|_| Ok(json!(1))))
            .options(
                support::fast()
                    .with_concurrency(200)
                    .with_prefetch(300)
                    .with_completion(Completion::Batched),
            ),
    );
    house
        .jobs
        .enqueue_many(&house.a, vec![job.clone(); 10_000])
        .await
        .unwrap();
    let t = Instant::now();
    while house
        .number(&house.a, "SELECT count(*) FROM tenancy.jobs")
        .await
        > 0
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "worker drained 10k batched w/ table audit in {:?}",
        t.elapsed()
    );
    w.stop().await;
}
