//! Tenants beside each other: turns, refusals that are nobody's fault, the same id twice, and what is left
//! of one that was purged.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use tenancy_core::{
    Error, ErrorKind, Event, Grace, JobId, JobSink, NewJob, PurgeOptions, TenantCtx, TenantTx,
    WebhookRelay, testing::MemoryJobs,
};
use uuid::Uuid;

use crate::{
    Result,
    host::{Host, text},
};

impl Host {
    async fn change(&self, sql: &'static str) -> Result {
        let superuser = self.kit.superuser().await?;
        sqlx::raw_sql(sql).execute(&superuser).await?;
        Ok(())
    }

    /// Stores an event by SQL, as code of the host may that has the app's rights.
    async fn plant(&self, ctx: &TenantCtx, id: Uuid, body: &str) -> Result {
        let mut tx = self.kit.app.write(ctx).await?;
        sqlx::query("INSERT INTO tenancy.webhook_events (tenant_id, id, endpoints, body) VALUES ($1, $2, '{crm}', $3)")
            .bind(ctx.tenant())
            .bind(id)
            .bind(body)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

/// Refuses everything that holds a word, in one way.
struct Refusing(MemoryJobs, &'static str, ErrorKind, &'static str);

#[async_trait]
impl JobSink for Refusing {
    async fn enqueue(&self, ctx: &TenantCtx, job: NewJob) -> Result<JobId, Error> {
        self.0.enqueue(ctx, job).await
    }

    async fn enqueue_in(&self, tx: &mut TenantTx, job: NewJob) -> Result<JobId, Error> {
        let Self(jobs, word, kind, code) = self;
        if job.payload.to_string().contains(word) {
            return Err(Error::new(*kind, code, "refused"));
        }
        jobs.enqueue_in(tx, job).await
    }
}

#[tokio::test]
async fn what_is_not_the_events_fault_holds_up_and_parks_nothing() -> Result {
    let host = Host::new().await?;
    for slug in ["acme", "bolt", "cord"] {
        host.tenant(slug).await?;
    }
    // A disk that is full, a missing column, a queue that is full, a race, another version's answer.
    for (kind, code) in [
        (ErrorKind::Internal, "database"),
        (ErrorKind::Internal, "unexpected_row"),
        (ErrorKind::Limit, "queue_full"),
        (ErrorKind::Conflict, "already_exists"),
        (ErrorKind::NotFound, "reference_unknown"),
        (ErrorKind::InvalidInput, "job_attempts_invalid"),
        (ErrorKind::Misconfigured, "schema_missing"),
    ] {
        let all = Arc::new(Refusing(host.jobs.clone(), "", kind, code));
        let relay = host.webhooks.relay(host.kit.worker.clone(), all);
        assert_eq!(relay.drain(10).await.unwrap_err().code(), code);
        assert!(relay.parked(None, 10).await?.is_empty(), "{code}");
    }
    host.relay().await?;
    assert_eq!((host.types("crm").len(), host.waiting().await?), (3, 0));
    Ok(())
}

#[tokio::test]
async fn a_queue_that_does_not_answer_is_an_error_and_loses_nothing() -> Result {
    struct Hangs;

    #[async_trait]
    impl JobSink for Hangs {
        async fn enqueue(&self, _: &TenantCtx, _: NewJob) -> Result<JobId, Error> {
            std::future::pending().await
        }

        async fn enqueue_in(&self, _: &mut TenantTx, _: NewJob) -> Result<JobId, Error> {
            std::future::pending().await
        }
    }

    let host = Host::new().await?;
    host.tenant("acme").await?;
    let relay = host
        .webhooks
        .relay(host.kit.worker.clone(), Arc::new(Hangs));
    let drained = tokio::time::timeout(std::time::Duration::from_secs(40), relay.drain(10)).await?;
    assert_eq!(drained.unwrap_err().code(), "webhook_queue_slow");
    host.relay().await?;
    assert_eq!(host.types("crm"), ["tenant.created"]);
    Ok(())
}

const BACKLOG: &str = "INSERT INTO tenancy.webhook_events (tenant_id, id, recorded_at, due_at, endpoints, body)
    SELECT e.tenant_id, gen_random_uuid(), now() - interval '1 hour', now() - interval '1 hour', e.endpoints, e.body
    FROM tenancy.webhook_events e CROSS JOIN generate_series(1, 2000)";

#[tokio::test]
async fn a_backlog_of_one_tenant_keeps_no_others_news_waiting() -> Result {
    let host = Host::new().await?;
    host.tenant("acme").await?;
    host.change(BACKLOG).await?;
    let b = host.tenant("bolt").await?;
    host.audit.record(&b, Event::new("tenant.renamed")).await?;
    let relay = host
        .webhooks
        .relay(host.kit.worker.clone(), Arc::new(host.jobs.clone()));
    let relayed = relay.drain(10).await?;
    assert_eq!((relayed.events, relayed.more), (10, true));
    let of = |ctx: &TenantCtx| -> Vec<String> {
        let told = host.told("crm").into_iter();
        told.filter(|body| body["data"]["tenant_id"] == json!(ctx.tenant()))
            .map(|body| text(&body, "type").to_owned())
            .collect()
    };
    assert_eq!(of(&b), ["tenant.created", "tenant.renamed"], "in order");

    // Also where a page has room for one.
    host.audit.record(&b, Event::new("tenant.resumed")).await?;
    for _ in 0..2 {
        assert_eq!(relay.drain(1).await?.events, 1);
    }
    assert_eq!(of(&b).len(), 3);
    Ok(())
}

#[tokio::test]
async fn tenants_that_choose_the_same_id_do_not_silence_each_other() -> Result {
    let host = Host::new().await?;
    let (a, b) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    host.relay().await?;
    let id = Uuid::now_v7();
    for ctx in [&a, &b] {
        let body = json!({ "type": "x.y", "data": { "tenant_id": ctx.tenant() } });
        host.plant(ctx, id, &body.to_string()).await?;
    }
    host.relay().await?;
    let told: Vec<Value> = host.told("crm").split_off(2);
    let mut of: Vec<_> = told
        .iter()
        .map(|body| body["data"]["tenant_id"].clone())
        .collect();
    of.sort_by_key(Value::to_string);
    assert_eq!(of, [json!(a.tenant()), json!(b.tenant())]);
    let mut ids: Vec<String> = host
        .jobs
        .jobs()
        .iter()
        .map(|(_, _, job)| text(&job.payload, "id").to_owned())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_parked_event_is_its_tenants_alone_whatever_its_id() -> Result {
    let host = Host::new().await?;
    let (a, b) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    host.relay().await?;
    let id = Uuid::now_v7();
    for ctx in [&a, &b] {
        host.plant(ctx, id, r#"{"type":"x.bad"}"#).await?;
    }
    let picky = Refusing(
        host.jobs.clone(),
        "x.bad",
        ErrorKind::InvalidInput,
        "job_payload_nul",
    );
    let relay = host
        .webhooks
        .relay(host.kit.worker.clone(), Arc::new(picky));
    assert_eq!(relay.drain(10).await?.parked, 2);
    // A page ends between them, and nobody is passed over.
    let first = relay.parked(None, 1).await?;
    let second = relay.parked(Some(first[0].key()), 10).await?;
    assert_eq!((first.len(), second.len()), (1, 1));
    let mut of = [first[0].tenant, second[0].tenant];
    of.sort();
    assert_eq!(of, [a.tenant(), b.tenant()]);
    assert_eq!(
        relay
            .drop_parked(&[(a.tenant(), id), (a.tenant(), id)])
            .await?,
        1
    );
    assert_eq!(relay.retry_parked(&[(b.tenant(), id)]).await?, 1);
    host.relay().await?;
    assert_eq!((host.types("crm").len(), host.waiting().await?), (3, 0));
    Ok(())
}

#[tokio::test]
async fn a_list_of_endpoints_is_one_of_names() -> Result {
    let host = Host::new().await?;
    let a = host.tenant("acme").await?;
    for bad in ["{NULL}", "{crm,NULL}", "{{crm,exits},{a,b}}"] {
        let mut tx = host.kit.app.write(&a).await?;
        let put = sqlx::query("INSERT INTO tenancy.webhook_events (tenant_id, id, endpoints, body) VALUES ($1, $2, $3::text::text[], '{}')")
            .bind(a.tenant())
            .bind(Uuid::now_v7())
            .bind(bad)
            .execute(&mut *tx);
        let error = put.await.unwrap_err().to_string();
        assert!(error.contains("webhook_events_names"), "{bad}: {error}");
    }
    Ok(())
}

/// A relay whose queue takes no news of a new name.
fn refusing_relay(host: &Host) -> WebhookRelay {
    let small = Refusing(
        host.jobs.clone(),
        "tenant.renamed",
        ErrorKind::Limit,
        "job_payload_too_large",
    );
    host.webhooks
        .relay(host.kit.worker.clone(), Arc::new(small))
}

/// What waits of a tenant, in the order in which it was recorded.
async fn bodies(host: &Host, ctx: &TenantCtx) -> Result<Vec<String>> {
    let sql = "SELECT body FROM tenancy.webhook_events WHERE tenant_id = $1 ORDER BY recorded_at";
    let bodies = sqlx::query_scalar(sql).bind(ctx.tenant());
    Ok(bodies.fetch_all(&host.kit.superuser().await?).await?)
}

#[tokio::test]
async fn of_a_purged_tenant_no_details_wait_to_be_told() -> Result {
    let host = Host::new().await?;
    let (a, b) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    for ctx in [&a, &b] {
        let renamed = Event::new("tenant.renamed").meta("to", "Ann's Secret Firm");
        host.audit.record(ctx, renamed).await?;
        host.plant(ctx, Uuid::now_v7(), "Ann's Secret Firm").await?;
    }
    // One of them waits for the operator.
    let relay = refusing_relay(&host);
    assert_eq!(
        relay.drain(1).await?.events + relay.drain(1).await?.events,
        2
    );
    assert_eq!(relay.drain(2).await?.parked, 2);
    host.platform
        .schedule_deletion(a.tenant(), Grace::NONE)
        .await?;
    let batches = PurgeOptions::default().with_batch(1);
    host.platform
        .purge(&host.kit.operator, a.tenant(), &batches)
        .await?;
    let left = bodies(&host, &a).await?;
    let left: Vec<Value> = left
        .iter()
        .flat_map(|body| serde_json::from_str(body))
        .collect();
    let types: Vec<_> = left.iter().map(|body| text(body, "type")).collect();
    let news = [
        "tenant.renamed",
        "tenant.deletion_scheduled",
        "tenant.purge_started",
        "tenant.purged",
    ];
    assert_eq!(types, news);
    for body in left.iter().take(3) {
        let bare = json!({ "tenant_id": a.tenant(), "truncated": true });
        assert_eq!(body["data"], bare);
        assert!(body["timestamp"].is_string());
    }
    assert!(
        left[3]["data"].get("truncated").is_none(),
        "the end is whole"
    );
    assert!(
        bodies(&host, &b)
            .await?
            .iter()
            .all(|body| body.contains("Secret"))
    );

    // Once more, it changes nothing.
    host.platform
        .purge(&host.kit.operator, a.tenant(), &batches)
        .await?;
    let again = bodies(&host, &a).await?;
    assert_eq!(again.len(), 4);
    assert!(again[3].contains("actor"));
    Ok(())
}
