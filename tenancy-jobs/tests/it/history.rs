//! Months of the history, and what is forgotten when.

use serde_json::json;
use tenancy_core::NewJob;
use tenancy_jobs::{JobHistory, JobState, JobStore as _, PgJobStore};

use crate::support::{House, KIND, Running, plain};

#[tokio::test]
async fn months_are_made_used_and_dropped_by_the_operator() {
    let house = House::new().await;
    let history = JobHistory::new(house.db.operator.clone());
    assert_eq!(
        history.ensure_months(12).await.unwrap(),
        0,
        "the migration made a year"
    );
    assert_eq!(history.ensure_months(14).await.unwrap(), 2);
    assert_eq!(history.ensure_months(14).await.unwrap(), 0);
    let id = house
        .jobs
        .enqueue(&house.a, NewJob::new(KIND, json!(null)))
        .await
        .unwrap();
    let worker = Running::start(house.worker().handler(plain(|_| Ok(json!("done")))));
    house.until(&house.a, id, JobState::Succeeded).await;
    worker.stop().await;
    let in_default = "SELECT count(*) FROM tenancy.job_history_default";
    let count: i64 = sqlx::query_scalar(in_default)
        .fetch_one(&house.superuser().await)
        .await
        .unwrap();
    assert_eq!(count, 0, "the month has its own");

    house
        .plant(
            "SET ROLE tenancy_owner;
             SELECT tenancy.job_history_add_month((now() - interval '14 months')::date);
             SELECT tenancy.job_history_add_month((now() - interval '1 month')::date);",
        )
        .await;
    assert_eq!(history.drop_older_than(12).await.unwrap(), 1);
    assert_eq!(house.view(&house.a, id).await.result, Some(json!("done")));
}

#[tokio::test]
async fn a_month_that_the_default_partition_has_begun_is_left_to_it() {
    let house = House::new().await;
    let month = |ahead: &str| {
        format!(
            "SELECT 'tenancy.job_history_' || to_char(now() AT TIME ZONE 'UTC' + interval '{ahead}', 'YYYYMM')"
        )
    };
    for ahead in ["0", "1 month"] {
        let name: String = sqlx::query_scalar(sqlx::AssertSqlSafe(month(ahead)))
            .fetch_one(&house.superuser().await)
            .await
            .unwrap();
        house.plant(format!("DROP TABLE {name}").leak()).await;
    }
    let id = house
        .jobs
        .enqueue(&house.a, NewJob::new(KIND, json!(null)))
        .await
        .unwrap();
    house.jobs.cancel(&house.a, id).await.unwrap();
    let history = JobHistory::new(house.db.operator.clone());
    assert_eq!(
        history.ensure_months(1).await.unwrap(),
        1,
        "the next month only"
    );
    assert_eq!(house.view(&house.a, id).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_purge_forgets_old_keys_and_moves_old_dead_jobs_to_the_history() {
    let house = House::new().await;
    let job = NewJob::new(KIND, json!(null))
        .with_idempotency_key("k")
        .with_max_attempts(1);
    let id = house.jobs.enqueue(&house.a, job).await.unwrap();
    let bad = |_| Err(tenancy_core::Error::invalid("bad_lead", "the lead is bad"));
    let worker = Running::start(house.worker().handler(plain(bad)));
    house.until(&house.a, id, JobState::Failed).await;
    worker.stop().await;

    let store = PgJobStore::new(house.db.worker.clone());
    let purged = store.purge(30).await.unwrap();
    assert_eq!((purged.keys, purged.dead), (0, 0), "too young");
    house
        .plant(
            "UPDATE tenancy.job_keys SET expires_at = now() - interval '1 s';
             UPDATE tenancy.job_dead SET died_at = now() - interval '31 days'",
        )
        .await;
    let purged = store.purge(30).await.unwrap();
    assert_eq!((purged.keys, purged.dead), (1, 1));
    let view = house.view(&house.a, id).await;
    assert_eq!((view.state, view.payload), (JobState::Failed, None));
    assert!(
        house.jobs.retry(&house.a, id).await.is_err(),
        "there is nothing left to retry"
    );
}
