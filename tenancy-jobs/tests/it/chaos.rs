//! What goes wrong beneath a worker, and that it goes on.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tenancy_core::{JobId, NewJob};
use tenancy_jobs::{
    ClaimRequest, JobState, JobStore as _, PgJobStore, QueueName, Settlement, TenantPolicy,
    Verdict, WorkerId, WorkerInfo,
};

use crate::{
    once::EffectInTx,
    support::{House, KIND, Running, fast, plain, until},
};

fn job() -> NewJob {
    NewJob::new(KIND, json!(null))
}

/// The workers on the list.
async fn workers(house: &House) -> Vec<WorkerId> {
    let all = "SELECT id FROM tenancy.job_workers ORDER BY started_at";
    sqlx::query_scalar(all)
        .fetch_all(&house.superuser().await)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_happen_once_although_every_connection_is_cut_again_and_again() {
    let house = House::new().await;
    let ids = house
        .jobs
        .enqueue_many(&house.a, vec![job().with_max_attempts(1_000); 400])
        .await
        .unwrap();
    let worker = Running::start(house.worker().tx_handler(Arc::new(EffectInTx)));
    let superuser = house.superuser().await;
    let ended = async |house: &House| {
        let mut tx = house.db.app.read(&house.a).await.ok()?;
        let left = "SELECT count(*) FROM tenancy.jobs";
        let left: i64 = sqlx::query_scalar(left).fetch_one(&mut *tx).await.ok()?;
        (left == 0).then_some(())
    };
    let mut cuts = 0;
    while ended(&house).await.is_none() {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()
                     AND usename IN ('tenancy_dev_app', 'tenancy_dev_worker')";
        let cut: i64 = sqlx::query_scalar(cut).fetch_one(&superuser).await.unwrap();
        cuts += cut;
        assert!(cuts < 20_000, "it does not come to an end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    worker.stop().await;
    assert!(cuts > 0);
    let doubled =
        "SELECT count(*) FROM (SELECT job FROM public.effects GROUP BY job HAVING count(*) > 1) d";
    let effects: i64 = sqlx::query_scalar("SELECT count(*) FROM public.effects")
        .fetch_one(&superuser)
        .await
        .unwrap();
    let doubled: i64 = sqlx::query_scalar(doubled)
        .fetch_one(&superuser)
        .await
        .unwrap();
    assert_eq!((effects, doubled), (400, 0), "after {cuts} cuts");
    for id in ids {
        assert_eq!(state(&house, id).await, JobState::Succeeded);
    }
}

async fn state(house: &House, id: JobId) -> JobState {
    house.view(&house.a, id).await.state
}

#[tokio::test]
async fn a_worker_that_was_taken_for_dead_starts_anew() {
    let house = House::new().await;
    let worker = Running::start(house.worker().handler(plain(|_| Ok(Value::Null))));
    let old = until("a worker", async || workers(&house).await.first().copied()).await;
    house.plant("DELETE FROM tenancy.job_workers").await;
    let new = until("another worker", async || {
        workers(&house).await.first().copied()
    })
    .await;
    assert_ne!(old, new);
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    house.until(&house.a, id, JobState::Succeeded).await;
    worker.stop().await;
    assert!(workers(&house).await.is_empty());
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_handed_back_and_runs() {
    let house = House::new().await;
    let worker = Running::start(house.worker().handler(plain(|_| Ok(Value::Null))));
    let known = until("a worker", async || workers(&house).await.first().copied()).await;
    // Scheduled, so that the worker itself is not woken before the claim in its name is made.
    let soon = chrono::Utc::now() + chrono::TimeDelta::minutes(5);
    let id = house
        .jobs
        .enqueue(&house.a, job().with_run_at(soon))
        .await
        .unwrap();
    house
        .plant(
            "UPDATE tenancy.jobs SET state = 'running', attempt = 1,
                 worker_id = (SELECT id FROM tenancy.job_workers)",
        )
        .await;
    let view = house.until(&house.a, id, JobState::Succeeded).await;
    assert_eq!(view.attempt, 1, "it counts as not started");
    assert_eq!(
        workers(&house).await,
        [known],
        "the worker lived all the while"
    );
    worker.stop().await;
}

/// Eight claimers at once; the most jobs of the tenant that were seen to run.
async fn most_in_flight(house: &House) -> i64 {
    // Between the count and the claim, so that whoever does not wait there is caught.
    house
        .weaken(
            "tenancy.jobs_take",
            "RETURN QUERY",
            "PERFORM pg_sleep(0.01); RETURN QUERY",
        )
        .await;
    let store = PgJobStore::new(house.db.worker.clone());
    let limit = TenantPolicy::default().with_max_in_flight(3);
    store.set_policy(house.a.tenant(), &limit).await.unwrap();
    house
        .jobs
        .enqueue_many(&house.a, vec![job(); 200])
        .await
        .unwrap();
    let claimers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let info = WorkerInfo::new(QueueName::DEFAULT, "test", Duration::from_mins(1));
                store.register(&info).await.unwrap();
                let request = ClaimRequest::new(QueueName::DEFAULT, vec![KIND], 2);
                let mut done = Vec::new();
                for _ in 0..25 {
                    let exchange = store.exchange(info.id, &done, &request).await.unwrap();
                    let end = |job: &tenancy_jobs::ClaimedJob| {
                        Settlement::new(job.job, Verdict::Succeeded(Value::Null))
                    };
                    done = exchange.claimed.iter().map(end).collect();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    let mut most = 0;
    while !claimers.iter().all(tokio::task::JoinHandle::is_finished) {
        let running = "SELECT count(*) FROM tenancy.jobs WHERE state = 'running'";
        most = most.max(house.number(&house.a, running).await);
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_claimers_at_once_never_pass_a_tenants_limit() {
    let house = House::new().await;
    assert_eq!(most_in_flight(&house).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_lock_on_the_limit_they_do() {
    let house = House::new().await;
    house
        .weaken("tenancy.jobs_quota", "FOR UPDATE SKIP LOCKED", "")
        .await;
    assert!(most_in_flight(&house).await > 3);
}

#[tokio::test]
async fn a_worker_waits_for_a_database_that_is_full() {
    let house = House::new().await;
    // Nobody may connect for a while: the pools' connections are cut and can't be opened again.
    let name = house.db.server.name().to_owned();
    let close = format!("ALTER DATABASE \"{name}\" CONNECTION LIMIT 0");
    let open = format!("ALTER DATABASE \"{name}\" CONNECTION LIMIT -1");
    let superuser = house.superuser().await;
    let worker = Running::start(
        house
            .worker()
            .handler(plain(|_| Ok(Value::Null)))
            .options(fast().with_listen(false)),
    );
    let id = house
        .jobs
        .enqueue(
            &house.a,
            job().with_run_at(chrono::Utc::now() + chrono::TimeDelta::seconds(1)),
        )
        .await
        .unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(close))
        .execute(&superuser)
        .await
        .unwrap();
    sqlx::raw_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE 'tenancy\\_dev\\_%'")
        .execute(&superuser)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(open))
        .execute(&superuser)
        .await
        .unwrap();
    house.until(&house.a, id, JobState::Succeeded).await;
    worker.stop().await;
}
