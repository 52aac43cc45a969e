//! From a change to the queue: with it or not at all, whatever becomes of the tenant.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use serde_json::json;
use tenancy_core::{
    Error, ErrorKind, Event, ExportOptions, Grace, JobId, JobSink, NewJob, Outcome, Platform,
    PurgeOptions, ServiceKey, Slug, Suspension, TenantCtx, TenantName, TenantStatus, TenantTx,
    Webhooks,
    migrate::CORE,
    testing::{self, MemoryJobs},
};
use tenancy_testkit::Db;

use crate::{
    Result,
    host::{Host, endpoint},
};

#[tokio::test]
async fn a_change_is_told_exactly_when_it_was_committed() -> Result {
    let host = Host::new().await?;
    let a = host.tenant("acme").await?;
    host.tenant("bolt").await?;
    let mut undone = host.kit.app.write(&a).await?;
    host.audit
        .record_in(&mut undone, Event::new("tenant.undone"))
        .await?;
    undone.rollback().await?;
    let mut dropped = host.kit.app.write(&a).await?;
    host.audit
        .record_in(&mut dropped, Event::new("tenant.dropped"))
        .await?;
    drop(dropped);
    // What is not asked for, what was refused, and what the log does not take.
    host.audit.record(&a, Event::new("api_key.created")).await?;
    host.audit
        .record(&a, Event::new("tenant.suspended").outcome(Outcome::Denied))
        .await?;
    assert!(
        host.audit
            .record(&a, Event::new("tenant. bad"))
            .await
            .is_err()
    );
    host.relay().await?;
    assert_eq!(host.types("crm"), ["tenant.created", "tenant.created"]);
    assert_eq!(
        host.log.of("tenant.suspended").len(),
        1,
        "the log has it all the same"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_told_is_who_did_what_where_and_nothing_of_others() -> Result {
    let host = Host::new().await?;
    let (a, b) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    let event = Event::new("tenant.renamed")
        .target("tenant", a.tenant())
        .meta("to", "Acme 2")
        .personal("email", "ann@example.com");
    host.audit.record(&a, event).await?;
    host.relay().await?;
    let told = host.told("crm");
    let last = told.last().ok_or("nothing was told")?;
    assert_eq!(last["type"], "tenant.renamed");
    let data = &last["data"];
    assert_eq!(data["tenant_id"], json!(a.tenant()));
    assert_eq!(data["actor"], json!({"kind": "user", "id": a.user()}));
    assert_eq!(data["request_id"], json!(a.request_id()));
    assert_eq!(data["meta"], json!({"to": "Acme 2"}));
    assert_eq!(
        data["targets"],
        json!([{"kind": "tenant", "id": a.tenant()}])
    );
    let text = last.to_string();
    assert!(
        !text.contains("example.com"),
        "personal details stay: {text}"
    );
    assert!(
        !text.contains(&b.tenant().to_string()) && !text.contains("bolt"),
        "{text}"
    );
    assert_eq!(host.waiting().await?, 0);
    Ok(())
}

#[tokio::test]
async fn the_whole_life_of_a_tenant_is_told_and_its_end_as_well() -> Result {
    let host = Host::new().await?;
    let Host {
        tenants,
        platform,
        kit,
        ..
    } = &host;
    let a = host.tenant("acme").await?;
    let owner = a.user().ok_or("an owner")?;
    tenants.rename(&a, &TenantName::parse("Acme 2")?).await?;
    tenants.change_slug(&a, &Slug::parse("acme-2")?).await?;
    tenants.suspend(&a, Suspension::Blocked).await?;
    tenants.reopen(a.tenant(), owner).await?;
    platform.suspend(a.tenant(), Suspension::ReadOnly).await?;
    platform.resume(a.tenant()).await?;
    tenants.schedule_deletion(&a, Grace::default()).await?;
    tenants.reopen(a.tenant(), owner).await?;
    // None of it waits for a tenant that is closed.
    platform.schedule_deletion(a.tenant(), Grace::NONE).await?;
    host.relay().await?;
    let life = [
        "tenant.created",
        "tenant.renamed",
        "tenant.slug_changed",
        "tenant.suspended",
        "tenant.resumed",
        "tenant.suspended",
        "tenant.resumed",
        "tenant.deletion_scheduled",
        "tenant.deletion_cancelled",
        "tenant.deletion_scheduled",
    ];
    assert_eq!(host.types("crm"), life);

    let mut file = Vec::new();
    platform
        .export(
            &kit.operator,
            a.tenant(),
            &ExportOptions::default(),
            &mut file,
        )
        .await?;
    platform
        .purge(&kit.operator, a.tenant(), &PurgeOptions::default())
        .await?;
    assert_eq!(
        platform.state(a.tenant()).await?.status,
        TenantStatus::Deleted
    );
    assert_eq!(host.waiting().await?, 4, "the purge leaves its own news");
    host.relay().await?;
    let end = [
        "tenant.export_started",
        "tenant.exported",
        "tenant.purge_started",
        "tenant.purged",
    ];
    assert_eq!(host.types("crm")[life.len()..], end);
    assert_eq!(host.types("exits"), ["tenant.purged"]);
    Ok(())
}

/// Enqueues for good, and reports that it failed: as if the process had died right behind.
struct DiesBehind(MemoryJobs);

#[async_trait]
impl JobSink for DiesBehind {
    async fn enqueue(&self, ctx: &TenantCtx, job: NewJob) -> Result<JobId, Error> {
        self.0.enqueue(ctx, job).await
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, job: NewJob) -> Result<JobId, Error> {
        self.0.enqueue(tx.ctx(), job).await?;
        Err(Error::new(
            ErrorKind::Unavailable,
            "died",
            "the process died",
        ))
    }
}

#[tokio::test]
async fn a_relay_that_dies_loses_nothing_and_doubles_nothing() -> Result {
    let host = Host::new().await?;
    host.tenant("acme").await?;
    let dies = Arc::new(DiesBehind(host.jobs.clone()));
    let relay = host.webhooks.relay(host.kit.worker.clone(), dies);
    assert_eq!(relay.drain(10).await.unwrap_err().code(), "died");
    assert_eq!((host.jobs.jobs().len(), host.waiting().await?), (1, 1));
    host.relay().await?;
    assert_eq!((host.jobs.jobs().len(), host.waiting().await?), (1, 0));

    // Several at once share the work.
    for at in 0..20 {
        host.tenant(&format!("bolt-{at}")).await?;
    }
    let relay = host
        .webhooks
        .relay(host.kit.worker.clone(), Arc::new(host.jobs.clone()));
    let all = async || -> Result<u64, Error> {
        let mut events = 0;
        loop {
            let relayed = relay.drain(2).await?;
            events += relayed.events;
            if !relayed.more {
                return Ok(events);
            }
        }
    };
    let (one, two, three) = tokio::try_join!(all(), all(), all())?;
    assert_eq!(one + two + three, 20);
    let ids: BTreeSet<String> = host
        .jobs
        .jobs()
        .iter()
        .map(|(_, _, job)| job.payload["id"].to_string())
        .collect();
    assert_eq!((ids.len(), host.jobs.jobs().len()), (21, 21));
    Ok(())
}

/// A queue that refuses what is long, as one with a smaller limit does.
struct SmallQueue(MemoryJobs);

#[async_trait]
impl JobSink for SmallQueue {
    async fn enqueue(&self, ctx: &TenantCtx, job: NewJob) -> Result<JobId, Error> {
        self.0.enqueue(ctx, job).await
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, job: NewJob) -> Result<JobId, Error> {
        if job.payload.to_string().len() > 2_000 {
            let message = "the payload is too large";
            return Err(Error::new(
                ErrorKind::Limit,
                "job_payload_too_large",
                message,
            ));
        }
        self.0.enqueue_in(tx, job).await
    }
}

#[tokio::test]
async fn an_event_that_the_queue_refuses_is_parked_and_stops_no_other() -> Result {
    let host = Host::new().await?;
    let a = host.tenant("acme").await?;
    let long = Event::new("tenant.renamed").meta("to", "x".repeat(3_000));
    host.audit.record(&a, long).await?;
    host.tenant("bolt").await?;
    let small = Arc::new(SmallQueue(host.jobs.clone()));
    let relay = host.webhooks.relay(host.kit.worker.clone(), small);
    let relayed = relay.drain(10).await?;
    assert_eq!((relayed.events, relayed.jobs, relayed.parked), (2, 2, 1));
    assert_eq!(host.types("crm"), ["tenant.created", "tenant.created"]);
    assert_eq!(relay.drain(10).await?.events, 0, "it is not tried again");
    let parked = relay.parked(None, 10).await?;
    let found: Vec<_> = parked
        .iter()
        .map(|event| (event.tenant, event.code.as_str(), event.endpoints.len()))
        .collect();
    assert_eq!(found, [(a.tenant(), "job_payload_too_large", 1)]);
    assert!(relay.parked(Some(parked[0].key()), 10).await?.is_empty());

    // With a larger limit it is told.
    let keys = [parked[0].key()];
    assert_eq!(relay.retry_parked(&keys).await?, 1);
    host.relay().await?;
    assert_eq!(host.types("crm").len(), 3);
    assert_eq!(
        (relay.drop_parked(&keys).await?, host.waiting().await?),
        (0, 0)
    );
    Ok(())
}

#[tokio::test]
async fn a_relay_enqueues_in_small_transactions_and_says_what_it_left() -> Result {
    let host = Host::new().await?;
    for at in 0..3 {
        host.tenant(&format!("acme-{at}")).await?;
    }
    // 96 jobs: a transaction has room for two of these events.
    let sql = "UPDATE tenancy.webhook_events SET endpoints = (SELECT array_agg('e' || n) FROM generate_series(1, 32) n)";
    sqlx::query(sql)
        .execute(&host.kit.superuser().await?)
        .await?;
    let counted = Arc::new(Counted(host.jobs.clone(), Arc::default()));
    let relay = host
        .webhooks
        .relay(host.kit.worker.clone(), counted.clone());
    assert_eq!(relay.drain(10).await?.jobs, 96);
    let mut of_tx: Vec<usize> = counted
        .1
        .lock()
        .map_err(|e| e.to_string())?
        .values()
        .copied()
        .collect();
    of_tx.sort_unstable();
    assert_eq!(of_tx, [32, 64]);
    Ok(())
}

/// Counts jobs by the transaction that stores them.
struct Counted(
    MemoryJobs,
    Arc<std::sync::Mutex<std::collections::HashMap<i64, usize>>>,
);

#[async_trait]
impl JobSink for Counted {
    async fn enqueue(&self, ctx: &TenantCtx, job: NewJob) -> Result<JobId, Error> {
        self.0.enqueue(ctx, job).await
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, job: NewJob) -> Result<JobId, Error> {
        let this: i64 = sqlx::query_scalar("SELECT pg_current_xact_id()::text::bigint")
            .fetch_one(&mut **tx)
            .await?;
        if let Ok(mut counts) = self.1.lock() {
            *counts.entry(this).or_default() += 1;
        }
        self.0.enqueue_in(tx, job).await
    }
}

#[tokio::test]
async fn events_of_a_relay_that_died_are_told_when_its_lease_is_over() -> Result {
    let host = Host::new().await?;
    host.tenant("acme").await?;
    let claim = "SELECT attempt FROM tenancy.webhook_events_claim(
        ARRAY(SELECT tenant_id FROM tenancy.webhook_event_tenants('00000000-0000-0000-0000-000000000000', 10)), 10, 10, 60000)";
    let worker = host.kit.worker.pool();
    let first: Vec<i32> = sqlx::query_scalar(claim).fetch_all(worker).await?;
    host.relay().await?;
    assert_eq!((first, host.types("crm").len()), (vec![1], 0));
    sqlx::query("UPDATE tenancy.webhook_events SET due_at = now()")
        .execute(&host.kit.superuser().await?)
        .await?;
    let second: Vec<i32> = sqlx::query_scalar(claim).fetch_all(worker).await?;
    assert_eq!(second, [2]);
    // What the first one says now changes nothing.
    let late: i64 = sqlx::query_scalar(
        "SELECT tenancy.webhook_events_settle(array_agg(tenant_id), array_agg(id), '{1}', '{told}', '{NULL}', '{NULL}') FROM ids",
    )
    .fetch_one(&mut *with_ids(&host).await?)
    .await?;
    assert_eq!((late, host.waiting().await?), (0, 1));
    Ok(())
}

/// A worker's transaction that knows which events there are.
async fn with_ids(host: &Host) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
    let events: Vec<(uuid::Uuid, uuid::Uuid)> =
        sqlx::query_as("SELECT tenant_id, id FROM tenancy.webhook_events")
            .fetch_all(&host.kit.superuser().await?)
            .await?;
    let mut tx = host.kit.worker.pool().begin().await?;
    sqlx::query("CREATE TEMPORARY TABLE ids ON COMMIT DROP AS SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, id)")
        .bind(events.iter().map(|event| event.0).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.1).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}

#[tokio::test]
async fn what_the_platforms_closed_tenant_holds_up_is_told_when_it_is_open() -> Result {
    let host = Host::new().await?;
    let other = Platform::new(
        host.kit.app.clone(),
        ServiceKey::from_static("desk"),
        Arc::new(host.log.clone()),
    );
    other
        .suspend(host.ours.tenant(), Suspension::Blocked)
        .await?;
    host.tenant("acme").await?;
    let relay = host
        .webhooks
        .relay(host.kit.worker.clone(), Arc::new(host.jobs.clone()));
    assert_eq!(
        relay.drain(10).await.unwrap_err().code(),
        "tenant_suspended"
    );
    assert_eq!(host.waiting().await?, 1);
    other.resume(host.ours.tenant()).await?;
    assert_eq!(relay.drain(10).await?.events, 1);
    assert_eq!(host.types("crm"), ["tenant.created"]);
    Ok(())
}

#[tokio::test]
async fn the_app_neither_reads_events_nor_tells_in_another_tenants_name() -> Result {
    let host = Host::new().await?;
    let (a, b) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    let mut tx = host.kit.app.write(&a).await?;
    let read = sqlx::query("SELECT body FROM tenancy.webhook_events")
        .fetch_all(&mut *tx)
        .await;
    assert!(read.is_err_and(|error| error.to_string().contains("permission denied")));
    for (tenant, allowed) in [(a.tenant(), true), (b.tenant(), false)] {
        let mut tx = host.kit.app.write(&a).await?;
        let put = sqlx::query(
            "INSERT INTO tenancy.webhook_events (tenant_id, id, endpoints, body) VALUES ($1, $2, '{crm}', '{}')",
        );
        let put = put
            .bind(tenant)
            .bind(uuid::Uuid::now_v7())
            .execute(&mut *tx)
            .await;
        assert_eq!(put.is_ok(), allowed, "{put:?}");
    }
    for crossing in [
        "SELECT * FROM tenancy.webhook_event_tenants('00000000-0000-0000-0000-000000000000', 10)",
        "SELECT * FROM tenancy.webhook_events_claim('{}', 10, 10, 1000)",
        "SELECT * FROM tenancy.webhook_events_parked(NULL, NULL, 10)",
        "SELECT tenancy.webhook_events_release('{}', '{}', true)",
        "SELECT tenancy.webhook_events_strip(NULL, 10)",
    ] {
        let asked = sqlx::query(crossing).fetch_all(host.kit.app.without_tenant());
        assert!(asked.await.is_err(), "{crossing}");
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_that_runs_is_woken_by_a_commit_and_ends_when_told() -> Result {
    let host = Host::new().await?;
    let relay = host
        .webhooks
        .relay(host.kit.worker.clone(), Arc::new(host.jobs.clone()));
    // A minute's pause: only the wake-up can be what makes it look.
    let relay = relay.with_pause(std::time::Duration::from_mins(1));
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { relay.run(stop).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    host.tenant("acme").await?;
    for _ in 0..400 {
        if !host.jobs.jobs().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(host.types("crm"), ["tenant.created"]);
    stop.cancel();
    Ok(running.await?)
}

#[tokio::test]
async fn endpoints_are_told_apart_and_counted() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ours = testing::tenant(&kit.app).await?.tenant();
    let twice = vec![endpoint("crm")?, endpoint("crm")?];
    let error = Webhooks::new(kit.app.clone(), ours, twice).unwrap_err();
    assert_eq!(error.code(), "webhook_endpoint_twice");
    let many = (0..33)
        .map(|at| endpoint(&format!("e{at}")))
        .collect::<Result<Vec<_>>>()?;
    let error = Webhooks::new(kit.app.clone(), ours, many).unwrap_err();
    assert_eq!(error.code(), "too_many_webhook_endpoints");
    Ok(())
}

#[tokio::test]
async fn what_becomes_of_a_message_is_told_to_nobody() -> Result {
    let host = Host::new().await?;
    let ours = host.ours.tenant();
    for (service, stored) in [("webhooks", 0), ("desk", 1)] {
        let service = ServiceKey::from_static(service);
        let ctx = host.kit.app.enter_system(ours, service, vec![]).await?;
        host.audit
            .record(&ctx, Event::new("tenant.renamed"))
            .await?;
        assert_eq!(host.waiting().await?, stored);
    }
    assert_eq!(host.log.of("tenant.renamed").len(), 2);
    Ok(())
}
