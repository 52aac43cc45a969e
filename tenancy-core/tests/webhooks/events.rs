//! From a change to the queue: with it or not at all, whatever becomes of the tenant.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tenancy_core::{
    AuditSink, Error, ErrorKind, Event, ExportOptions, Grace, JobHandler as _, JobId, JobRun,
    JobSink, NewJob, NewTenant, NoRoles, Outcome, OwnerAuthorizer, Platform, PurgeOptions, Retry,
    ServiceKey, Slug, Suspension, TenantCtx, TenantName, TenantStatus, TenantTx, Tenants, UserId,
    WebhookAnswer, WebhookEndpoint, WebhookKeys, WebhookPost, WebhookSecret, WebhookTransport,
    Webhooks,
    migrate::CORE,
    testing::{self, MemoryAudit, MemoryJobs, NoProgress},
};
use tenancy_testkit::Db;

use crate::Result;

fn endpoint(name: &str) -> Result<WebhookEndpoint> {
    let keys = WebhookKeys::new(WebhookSecret::generate()?);
    Ok(WebhookEndpoint::new(
        name,
        "https://hooks.example.com/x",
        keys,
    )?)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    let found = value.get(field).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// A host that tells `crm` of everything and `exits` of those who leave.
struct Host {
    kit: Db,
    ours: TenantCtx,
    webhooks: Webhooks,
    log: MemoryAudit,
    audit: Arc<dyn AuditSink>,
    tenants: Tenants,
    platform: Platform,
    jobs: MemoryJobs,
}

impl Host {
    async fn new() -> Result<Self> {
        let kit = Db::new(&[&CORE]).await?;
        let ours = testing::tenant(&kit.app).await?;
        let exits = endpoint("exits")?.with_events(["member.left", "tenant.purged"])?;
        let endpoints = vec![endpoint("crm")?, exits];
        let webhooks = Webhooks::new(kit.app.clone(), ours.tenant(), endpoints)?;
        let log = MemoryAudit::new();
        let audit: Arc<dyn AuditSink> = Arc::new(webhooks.audit(Arc::new(log.clone())));
        let authz = Arc::new(OwnerAuthorizer::new(kit.app.clone(), audit.clone()));
        let tenants = Tenants::new(
            kit.app.clone(),
            authz,
            Arc::new(NoRoles::new()),
            audit.clone(),
        );
        let platform = Platform::new(
            kit.app.clone(),
            ServiceKey::from_static("desk"),
            audit.clone(),
        );
        Ok(Self {
            kit,
            ours,
            webhooks,
            log,
            audit,
            tenants,
            platform,
            jobs: MemoryJobs::new(),
        })
    }

    async fn tenant(&self, slug: &str) -> Result<TenantCtx> {
        let new = NewTenant::new(Slug::parse(slug)?, TenantName::parse(slug)?, UserId::new());
        Ok(self.tenants.create(new).await?)
    }

    async fn relay(&self) -> Result {
        let relay = self
            .webhooks
            .relay(self.kit.worker.clone(), Arc::new(self.jobs.clone()));
        while relay.drain(3).await?.more {}
        Ok(())
    }

    /// The bodies that an endpoint is sent, oldest first.
    fn told(&self, endpoint: &str) -> Vec<Value> {
        let jobs = self.jobs.jobs().into_iter();
        let mine = jobs.filter(|(_, _, job)| text(&job.payload, "endpoint") == endpoint);
        mine.map(|(tenant, _, job)| {
            assert_eq!(tenant, self.ours.tenant(), "jobs are the platform's");
            let body = text(&job.payload, "body");
            serde_json::from_str(body).unwrap_or_default()
        })
        .collect()
    }

    fn types(&self, endpoint: &str) -> Vec<String> {
        let told = self.told(endpoint).into_iter();
        told.map(|body| text(&body, "type").to_owned()).collect()
    }

    async fn waiting(&self) -> Result<i64> {
        let superuser = self.kit.superuser().await?;
        let count = sqlx::query_scalar("SELECT count(*) FROM tenancy.webhook_events");
        Ok(count.fetch_one(&superuser).await?)
    }
}

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
    let taken = sqlx::query("SELECT * FROM tenancy.webhook_events_take(10)");
    assert!(
        taken
            .fetch_all(host.kit.app.without_tenant())
            .await
            .is_err()
    );
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

/// Answers as told, and keeps what it was given.
#[derive(Default)]
struct Scripted {
    status: AtomicU16,
    posts: Mutex<Vec<WebhookPost>>,
}

impl Scripted {
    fn posts(&self) -> usize {
        self.posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

#[async_trait]
impl WebhookTransport for Scripted {
    async fn post(&self, post: WebhookPost) -> Result<WebhookAnswer, Error> {
        self.posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(post);
        Ok(WebhookAnswer::new(self.status.load(Ordering::Relaxed)))
    }
}

#[tokio::test]
async fn a_handler_counts_the_tries_of_what_is_refused_and_stops_at_410() -> Result {
    let host = Host::new().await?;
    host.tenant("acme").await?;
    host.relay().await?;
    let transport = Arc::new(Scripted::default());
    let handler = host.webhooks.handler(transport.clone());
    let jobs = host.jobs.jobs();
    let (_, id, job) = jobs.first().ok_or("no job")?;
    let run =
        |attempt, payload: &Value| JobRun::new(*id, attempt, payload.clone(), Arc::new(NoProgress));
    let answer = async |attempt: u16, status: u16| {
        transport.status.store(status, Ordering::Relaxed);
        let done = handler.run(&host.ours, &run(attempt, &job.payload)).await;
        done.map_err(|error| (error.kind(), error.code(), error.retry()))
    };
    let refused = |retry| Err((ErrorKind::Conflict, "webhook_refused", retry));
    assert_eq!(answer(1, 404).await, refused(Retry::Backoff));
    assert_eq!(answer(4, 401).await, refused(Retry::Backoff));
    assert_eq!(answer(5, 404).await, refused(Retry::Never));
    assert_eq!(
        answer(99, 500).await,
        Err((ErrorKind::Unavailable, "webhook_busy", Retry::Backoff))
    );
    assert_eq!(answer(6, 200).await, Ok(json!({"sent": job.payload["id"]})));

    // Each try sends the same bytes under the same id.
    let posts = transport
        .posts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    assert!(
        posts
            .windows(2)
            .all(|two| two[0].body == two[1].body && two[0].headers[0] == two[1].headers[0])
    );
    let shown = format!("{:?} {handler:?} {:?}", posts[0], host.webhooks);
    assert!(
        !shown.contains("tenant.created") && !shown.contains("/x") && !shown.contains("v1,"),
        "{shown}"
    );

    let gone = Err((ErrorKind::Denied, "webhook_gone", Retry::Never));
    assert_eq!(answer(1, 410).await, gone);
    let before = transport.posts();
    assert_eq!(answer(1, 200).await, gone, "nothing is sent any more");
    assert_eq!(transport.posts(), before);
    Ok(())
}

#[tokio::test]
async fn a_job_that_names_nobody_or_holds_nothing_ends() -> Result {
    let host = Host::new().await?;
    let handler = host.webhooks.handler(Arc::new(Scripted::default()));
    let run = |attempt, payload: &Value| {
        JobRun::new(JobId::new(), attempt, payload.clone(), Arc::new(NoProgress))
    };
    let unknown = json!({"endpoint": "former", "id": "msg_1", "body": "{}"});
    for (attempt, retry) in [
        (1, Retry::Backoff),
        (19, Retry::Backoff),
        (20, Retry::Never),
    ] {
        let error = handler
            .run(&host.ours, &run(attempt, &unknown))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), error.retry()),
            ("webhook_endpoint_unknown", retry)
        );
    }
    for bad in [
        json!(null),
        json!({}),
        json!({"endpoint": "crm", "id": "a.b", "body": ""}),
    ] {
        let error = handler.run(&host.ours, &run(1, &bad)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::InvalidInput, Retry::Never),
            "{bad}"
        );
    }
    Ok(())
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
