//! The life of a job with a worker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tenancy_core::{
    Error, JobRun, NewJob, PermissionKey,
    testing::{FakeAuthorizer, member},
};
use tenancy_jobs::{Completion, JobState};

use crate::{
    handlers::{Bad, Deaf, Gate, Reporting, Stubborn, UntilCancelled, flaky},
    support::{House, KIND, Running, fast, plain, until},
};

fn job() -> NewJob {
    NewJob::new(KIND, json!({"n": 1}))
}

#[tokio::test]
async fn a_job_is_tried_again_until_it_succeeds_and_audited_once() {
    let house = House::new().await;
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    let work = |run: JobRun| {
        if run.attempt < 3 {
            Err(flaky())
        } else {
            Ok(json!(run.attempt))
        }
    };
    let worker = Running::start(house.worker().handler(plain(work)));
    let view = house.until(&house.a, id, JobState::Succeeded).await;
    assert_eq!((view.attempt, view.result), (3, Some(json!(3))));
    assert_eq!(house.trail(&house.a, "job.succeeded").await.len(), 1);
    let report = worker.stop().await;
    assert_eq!((report.succeeded, report.retried, report.stale), (1, 2, 0));
}

#[tokio::test]
async fn a_job_that_fails_for_good_is_kept_audited_and_can_be_retried() {
    let house = House::new().await;
    let hopeless = house.jobs.enqueue(&house.a, job()).await.unwrap();
    let worn_out = house
        .jobs
        .enqueue(&house.b, job().with_max_attempts(2))
        .await
        .unwrap();
    let (a, healed) = (hopeless, Arc::new(AtomicUsize::new(0)));
    let switch = Arc::clone(&healed);
    let worker = Running::start(house.worker().handler(plain(move |run: JobRun| {
        match (switch.load(Ordering::SeqCst), run.id == a) {
            (1, _) => Ok(run.payload),
            (_, true) => Err(Error::invalid("bad_lead", "the lead is bad")),
            (_, false) => Err(flaky()),
        }
    })));
    let view = house.until(&house.a, hopeless, JobState::Failed).await;
    assert_eq!(
        (view.attempt, view.fault.unwrap().code),
        (1, "bad_lead".to_owned())
    );
    let view = house.until(&house.b, worn_out, JobState::Failed).await;
    assert_eq!(
        (view.attempt, view.fault.unwrap().code),
        (2, "flaky".to_owned())
    );
    let trail = house.trail(&house.b, "job.failed").await;
    assert_eq!(
        trail
            .iter()
            .map(|entry| &entry.2["code"])
            .collect::<Vec<_>>(),
        [&json!("flaky")]
    );

    healed.store(1, Ordering::SeqCst);
    house.jobs.retry(&house.b, worn_out).await.unwrap();
    let view = house.until(&house.b, worn_out, JobState::Succeeded).await;
    assert_eq!((view.attempt, view.result), (3, Some(json!({"n": 1}))));
    assert_eq!(house.trail(&house.b, "job.retried").await.len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_and_a_timeout_are_failed_tries_and_the_worker_goes_on() {
    let house = House::new().await;
    let panics = house
        .jobs
        .enqueue(&house.a, job().with_max_attempts(1))
        .await
        .unwrap();
    let hangs = job()
        .with_max_attempts(1)
        .with_timeout(Duration::from_millis(50));
    let hangs = house.jobs.enqueue(&house.b, hangs).await.unwrap();
    let worker = Running::start(house.worker().handler(plain(Bad(house.a.clone()))));
    let view = house.until(&house.a, panics, JobState::Failed).await;
    assert_eq!(view.fault.unwrap().code, "job_panicked");
    let view = house.until(&house.b, hangs, JobState::Failed).await;
    assert_eq!(view.fault.unwrap().code, "job_timeout");
    assert_eq!(worker.stop().await.failed, 2);
}

#[tokio::test]
async fn a_job_of_a_member_who_left_is_parked_with_the_reason_and_not_lost() {
    let house = House::new().await;
    let leaver = member(&house.db.app, &house.a).await.unwrap();
    let id = house.jobs.enqueue(&leaver, job()).await.unwrap();
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    sqlx::query("SELECT tenancy.remove_member($1)")
        .bind(leaver.user())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let runs = Arc::clone(&ran);
    let worker = Running::start(house.worker().handler(plain(move |_| {
        runs.fetch_add(1, Ordering::SeqCst);
        Ok(Value::Null)
    })));
    let view = house.until(&house.a, id, JobState::Parked).await;
    assert_eq!(view.fault.unwrap().code, "not_a_member");
    assert_eq!(view.payload, Some(json!({"n": 1})), "kept whole");
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    let trail = house.trail(&house.a, "job.parked").await;
    assert_eq!(
        trail
            .iter()
            .map(|entry| entry.0.as_str())
            .collect::<Vec<_>>(),
        ["jobs"]
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_job_whose_enqueuer_lost_the_permission_is_parked_until_he_has_it_again() {
    let house = House::new().await;
    let needed = PermissionKey::from_static("leads.write");
    let authorizer = FakeAuthorizer::new();
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    let worker = house.worker().handler(plain(|_| Ok(Value::Null)));
    let worker = worker
        .require(KIND, needed.clone())
        .authorizer(Arc::new(authorizer.clone()));
    let worker = Running::start(worker);
    let view = house.until(&house.a, id, JobState::Parked).await;
    assert_eq!(view.fault.unwrap().code, "permission_denied");
    authorizer.grant(&house.a, needed);
    house.jobs.retry(&house.a, id).await.unwrap();
    house.until(&house.a, id, JobState::Succeeded).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_stopped_worker_hands_back_what_it_has_not_started_and_ends_what_runs() {
    let house = House::new().await;
    let ids = house
        .jobs
        .enqueue_many(&house.a, vec![job(); 6])
        .await
        .unwrap();
    let gate = Gate::new();
    let options = fast().with_concurrency(1).with_prefetch(5);
    let worker = Running::start(
        house
            .worker()
            .handler(plain(Stubborn(gate.clone())))
            .options(options),
    );
    gate.wait_for(1).await;
    let running = "SELECT count(*) FROM tenancy.jobs WHERE state = 'running'";
    assert_eq!(house.number(&house.a, running).await, 6, "all were claimed");
    worker.token.cancel();
    until("five handed back", async || {
        (house.number(&house.a, running).await == 1).then_some(())
    })
    .await;
    gate.open.add_permits(1);
    let report = worker.stop().await;
    assert_eq!(
        (report.claimed, report.succeeded, report.released),
        (6, 1, 5)
    );
    let mut states = Vec::new();
    for id in ids {
        let view = house.view(&house.a, id).await;
        states.push((view.state, view.attempt));
    }
    states.sort_by_key(|(_, attempt)| *attempt);
    assert_eq!(states.first(), Some(&(JobState::Ready, 0)));
    assert_eq!(states.last(), Some(&(JobState::Succeeded, 1)));
    let workers: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.job_workers")
        .fetch_one(&house.superuser().await)
        .await
        .unwrap();
    assert_eq!(workers, 0);
}

#[tokio::test]
async fn a_running_job_that_does_not_end_in_time_is_handed_back_too() {
    let house = House::new().await;
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    let gate = Gate::new();
    let options = fast().with_drain(Duration::from_millis(100));
    let worker = Running::start(
        house
            .worker()
            .handler(plain(Deaf(gate.clone())))
            .options(options),
    );
    gate.wait_for(1).await;
    assert_eq!(worker.stop().await.released, 1);
    let view = house.view(&house.a, id).await;
    assert_eq!((view.state, view.attempt), (JobState::Ready, 0));
}

#[tokio::test]
async fn a_cancelled_job_is_told_within_a_heartbeat_and_its_transaction_is_rolled_back() {
    let house = House::new().await;
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    let steps = Arc::new(AtomicUsize::new(0));
    let worker = Running::start(
        house
            .worker()
            .tx_handler(Arc::new(UntilCancelled(Arc::clone(&steps)))),
    );
    until("the run", async || {
        (steps.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    house.jobs.cancel(&house.a, id).await.unwrap();
    until("the cancellation", async || {
        (steps.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    until("the refusal", async || {
        (worker.worker.report().stale == 1).then_some(())
    })
    .await;
    assert_eq!(
        house
            .number(&house.a, "SELECT count(*) FROM public.effects")
            .await,
        0
    );
    assert_eq!(house.view(&house.a, id).await.state, JobState::Cancelled);
    assert_eq!(house.trail(&house.a, "job.succeeded").await.len(), 0);
    assert_eq!(house.trail(&house.a, "job.cancelled").await.len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_failed_audit_entry_takes_the_effects_of_a_handler_with_it() {
    let house = House::new().await;
    house
        .plant("REVOKE INSERT ON public.trail FROM tenancy_app")
        .await;
    let id = house
        .jobs
        .enqueue(&house.a, job().with_max_attempts(1))
        .await
        .unwrap();
    let worker = Running::start(house.worker().tx_handler(Arc::new(crate::once::EffectInTx)));
    let view = house.until(&house.a, id, JobState::Failed).await;
    assert_eq!(view.fault.unwrap().code, "database_privilege");
    assert_eq!(
        house
            .number(&house.a, "SELECT count(*) FROM public.effects")
            .await,
        0
    );
    worker.stop().await;
}

#[tokio::test]
async fn an_enqueued_job_is_picked_up_long_before_the_next_poll() {
    let house = House::new().await;
    let slow = fast().with_poll_interval(Duration::from_mins(5));
    // The second worker has no waker: it hears of the job as another process would.
    let near = Running::start(
        house
            .worker()
            .handler(plain(|_| Ok(Value::Null)))
            .options(slow.clone()),
    );
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    house.until(&house.a, id, JobState::Succeeded).await;
    near.stop().await;

    let far = tenancy_jobs::Worker::builder(
        house.db.worker.clone(),
        house.db.app.clone(),
        crate::support::trail(&house.db.app),
    );
    let far = Running::start(far.handler(plain(|_| Ok(Value::Null))).options(slow));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    house.until(&house.a, id, JobState::Succeeded).await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    far.stop().await;
}

#[tokio::test]
async fn batched_completions_are_audited_and_stored() {
    let house = House::new().await;
    let ids = house
        .jobs
        .enqueue_many(&house.a, vec![job(); 100])
        .await
        .unwrap();
    let options = fast()
        .with_completion(Completion::Batched)
        .with_concurrency(20);
    let worker = Running::start(
        house
            .worker()
            .handler(plain(|_| Ok(json!(1))))
            .options(options),
    );
    for id in ids {
        house.until(&house.a, id, JobState::Succeeded).await;
    }
    assert_eq!(house.trail(&house.a, "job.succeeded").await.len(), 100);
    assert_eq!(worker.stop().await.succeeded, 100);
}

#[tokio::test]
async fn progress_is_seen_while_a_job_runs_and_after_it() {
    let house = House::new().await;
    let id = house.jobs.enqueue(&house.a, job()).await.unwrap();
    let gate = Gate::new();
    let worker = Running::start(house.worker().handler(plain(Reporting(gate.clone()))));
    gate.wait_for(1).await;
    let progress = house.view(&house.a, id).await.progress.unwrap();
    assert_eq!((progress.done, progress.total), (1, Some(10)));
    gate.open.add_permits(1);
    let view = house.until(&house.a, id, JobState::Succeeded).await;
    assert_eq!(view.progress.map(|progress| progress.done), Some(10));
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_without_handlers_or_with_a_check_that_nobody_makes_is_refused() {
    let house = House::new().await;
    assert_eq!(
        house.worker().build().unwrap_err().code(),
        "worker_without_handlers"
    );
    let handler = || plain(|_| Ok(Value::Null));
    let twice = house.worker().handler(handler()).handler(handler());
    assert_eq!(twice.build().unwrap_err().code(), "worker_handler_twice");
    let unchecked = house.worker().handler(handler());
    let unchecked = unchecked.require(KIND, PermissionKey::from_static("a.b"));
    assert_eq!(
        unchecked.build().unwrap_err().code(),
        "worker_without_authorizer"
    );
}
