//! Webhooks by the real queue: from a change in a tenant to a receiver outside that is slow to take it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use tenancy_audit::PgAuditLog;
use tenancy_authz::{PgAuthorizer, sync_permissions, testing};
use tenancy_core::{
    AuditSink, Email, Event, Grace, Invitations, Members, NewInvitation, NewTenant, Platform,
    PurgeOptions, ReqwestWebhooks, RoleKey, ServiceKey, Slug, Suspension, TenantCtx, TenantName,
    Tenants, UserId, WebhookEndpoint, WebhookKeys, WebhookSecret, Webhooks,
    migrate::{CORE, Component},
};
use tenancy_jobs::{Backoff, JobQuery, JobQueue, JobState, Worker, WorkerOptions};
use tenancy_testkit::{Db, Received, Receiver, Reply};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

const PARTS: &[&Component] = &[
    &CORE,
    &tenancy_audit::COMPONENT,
    &tenancy_authz::COMPONENT,
    &tenancy_jobs::COMPONENT,
];

/// A host with its own tenant, and a receiver that it tells of its tenants' lives.
struct Host {
    db: Db,
    authz: Arc<PgAuthorizer>,
    ours: TenantCtx,
    secret: String,
    url: String,
}

/// What one process of the host has: made anew after a crash.
struct Process {
    webhooks: Webhooks,
    audit: Arc<dyn AuditSink>,
    jobs: JobQueue,
    tenants: Tenants,
}

impl Host {
    async fn new(receiver: &Receiver) -> Result<Self> {
        let db = Db::new(PARTS).await?;
        let known = PARTS.iter().flat_map(|part| part.permissions);
        sync_permissions(&db.operator, &known.copied().collect::<Vec<_>>()).await?;
        let log = Arc::new(PgAuditLog::new(db.app.clone()));
        let authz = Arc::new(PgAuthorizer::new(db.app.clone(), log));
        let ours = testing::tenant(&db.app, &authz).await?;
        Ok(Self {
            db,
            authz,
            ours,
            secret: WebhookSecret::generate()?.to_text().expose().to_owned(),
            url: receiver.url("/tenancy"),
        })
    }

    fn keys(&self) -> Result<WebhookKeys> {
        Ok(WebhookKeys::new(WebhookSecret::parse(&self.secret)?))
    }

    fn process(&self) -> Result<Process> {
        let db = self.db.app.clone();
        let crm = WebhookEndpoint::new("crm", &self.url, self.keys()?)?;
        let webhooks = Webhooks::new(db.clone(), self.ours.tenant(), vec![crm])?;
        let log = Arc::new(PgAuditLog::new(db.clone()));
        let audit: Arc<dyn AuditSink> = Arc::new(webhooks.audit(log.clone()));
        let authz = self.authz.clone();
        Ok(Process {
            tenants: Tenants::new(db.clone(), authz.clone(), authz.clone(), audit.clone()),
            jobs: JobQueue::new(db, authz, log),
            webhooks,
            audit,
        })
    }

    /// The bodies that came, each verified, by their ids.
    fn verified(&self, received: &[Received]) -> Result<BTreeMap<String, Value>> {
        let keys = self.keys()?;
        let mut bodies = BTreeMap::new();
        for one in received {
            let header = |name: &str| one.headers.get(name).map(String::as_str);
            keys.verify(header, one.body.as_bytes())?;
            let id = one.headers.get("webhook-id").ok_or("no id")?.clone();
            let body: Value = serde_json::from_str(&one.body)?;
            let before = bodies.insert(id, body.clone());
            assert!(
                before.is_none_or(|before| before == body),
                "an id has one body"
            );
        }
        Ok(bodies)
    }
}

impl Process {
    /// Relays and works until the test is over.
    fn start(&self, host: &Host) -> Result<CancellationToken> {
        let stop = CancellationToken::new();
        let builder = ReqwestWebhooks::builder().allow_loopback();
        let transport = builder.timeout(Duration::from_secs(1)).build()?;
        let handler = self.webhooks.handler(Arc::new(transport));
        let quick = Backoff::new(Duration::from_millis(20), Duration::from_millis(50));
        let log = Arc::new(PgAuditLog::new(host.db.app.clone()));
        let worker = Worker::builder(host.db.worker.clone(), host.db.app.clone(), log)
            .handler(Arc::new(handler))
            .waker(&self.jobs.waker())
            .options(WorkerOptions::default().with_backoff(quick))
            .build()?;
        let relay = self
            .webhooks
            .relay(host.db.worker.clone(), Arc::new(self.jobs.clone()));
        let (one, two) = (stop.clone(), stop.clone());
        tokio::spawn(async move { relay.run(one).await });
        tokio::spawn(async move { worker.run(two).await });
        Ok(stop)
    }

    async fn tenant(&self, slug: &str) -> Result<TenantCtx> {
        let new = NewTenant::new(Slug::parse(slug)?, TenantName::parse(slug)?, UserId::new());
        Ok(self.tenants.create(new).await?)
    }
}

fn types(bodies: &BTreeMap<String, Value>) -> Vec<String> {
    let types = bodies
        .values()
        .map(|body| body["type"].as_str().unwrap_or_default());
    types.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_receiver_that_fails_first_gets_each_change_once_it_takes_it() -> Result {
    // Fails, hangs past the limit, asks to wait, and only then takes what comes.
    let receiver = Receiver::start(|at| match at {
        0 => Reply::Status(500, ""),
        1 => Reply::Hang,
        2 => Reply::Status(503, "retry-after: 1\r\n"),
        3 => Reply::Bytes(10_000_000),
        _ => Reply::Status(200, ""),
    })
    .await?;
    let host = Host::new(&receiver).await?;
    let process = host.process()?;
    let stop = process.start(&host)?;
    let a = process.tenant("acme").await?;
    let mut undone = host.db.app.write(&a).await?;
    process
        .audit
        .record_in(&mut undone, Event::new("tenant.undone"))
        .await?;
    drop(undone);

    let bodies = host.verified(&receiver.wait_for(4).await?)?;
    assert_eq!(
        types(&bodies),
        ["tenant.created"],
        "four tries of one message"
    );
    process
        .tenants
        .rename(&a, &TenantName::parse("Acme 2")?)
        .await?;
    let all = receiver.wait_for(5).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        receiver.received().len(),
        5,
        "what was taken is not sent again"
    );
    let bodies = host.verified(&all)?;
    assert_eq!(types(&bodies), ["tenant.created", "tenant.renamed"]);
    stop.cancel();

    // The platform's staff sees it in its own queue, and the tenant nothing of it in its own.
    let page = process.jobs.list(&host.ours, &JobQuery::default()).await?;
    assert_eq!(page.jobs.len(), 2);
    let page = process.jobs.list(&a, &JobQuery::default()).await?;
    assert!(page.jobs.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_a_process_committed_before_it_died_is_told_by_the_next() -> Result {
    let receiver = Receiver::start(|_| Reply::Status(200, "")).await?;
    let host = Host::new(&receiver).await?;
    let died = host.process()?;
    let (a, b) = (died.tenant("acme").await?, died.tenant("bolt").await?);
    drop(died);

    let process = host.process()?;
    let stop = process.start(&host)?;
    let bodies = host.verified(&receiver.wait_for(2).await?)?;
    for (ctx, other) in [(&a, &b), (&b, &a)] {
        let mine: Vec<String> = bodies
            .values()
            .filter(|body| body["data"]["tenant_id"] == ctx.tenant().to_string())
            .map(Value::to_string)
            .collect();
        assert_eq!(mine.len(), 1);
        let foreign = [
            other.tenant().to_string(),
            other.user().map(|u| u.to_string()).unwrap_or_default(),
        ];
        assert!(foreign.iter().all(|id| !mine[0].contains(id)), "{mine:?}");
    }
    stop.cancel();
    Ok(())
}

#[tokio::test]
async fn who_left_and_what_is_gone_is_told_although_nobody_is_there_to_tell_it() -> Result {
    let receiver = Receiver::start(|_| Reply::Status(204, "")).await?;
    let host = Host::new(&receiver).await?;
    let process = host.process()?;
    let (db, authz, audit) = (&host.db.app, &host.authz, &process.audit);
    let a = process.tenant("acme").await?;
    let invitations = Invitations::new(db.clone(), authz.clone(), authz.clone(), audit.clone());
    let viewer = RoleKey::from_static("viewer");
    let email = Email::parse("ann@example.com")?;
    let sent = invitations
        .invite(&a, NewInvitation::new(email.clone(), vec![viewer]))
        .await?;
    let ann = UserId::new();
    let ctx = invitations.accept(sent.token.expose(), ann, &email).await?;
    Members::new(db.clone(), authz.clone(), authz.clone(), audit.clone())
        .leave(&ctx)
        .await?;
    process.tenants.suspend(&a, Suspension::Blocked).await?;
    let platform = Platform::new(db.clone(), ServiceKey::from_static("desk"), audit.clone());
    platform.schedule_deletion(a.tenant(), Grace::NONE).await?;
    platform
        .purge(&host.db.operator, a.tenant(), &PurgeOptions::default())
        .await?;

    // Only then is anything sent.
    let stop = process.start(&host)?;
    let expected = [
        "tenant.created",
        "invitation.created",
        "invitation.accepted",
        "member.left",
        "tenant.suspended",
        "tenant.deletion_scheduled",
        "tenant.purge_started",
        "tenant.purged",
    ];
    let bodies = host.verified(&receiver.wait_for(expected.len()).await?)?;
    assert_eq!(types(&bodies), expected);
    assert!(
        bodies
            .values()
            .all(|body| !body.to_string().contains("ann@example.com"))
    );
    stop.cancel();
    Ok(())
}

#[tokio::test]
async fn a_secret_that_the_log_hides_reaches_no_receiver_and_a_repeated_event_only_once() -> Result
{
    const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    let receiver = Receiver::start(|_| Reply::Status(200, "")).await?;
    let host = Host::new(&receiver).await?;
    let process = host.process()?;
    let a = process.tenant("acme").await?;
    let linked = Event::new("tenant.linked")
        .target("link", format!("https://ann:{SECRET}@example.com/"))
        .meta("api_key", SECRET)
        .meta("plan", "pro")
        .personal("email", "ann@example.com")
        .idempotency_key("link:7");
    process.audit.record(&a, linked.clone()).await?;
    process.audit.record(&a, linked.clone()).await?;
    let mut tx = host.db.app.write(&a).await?;
    process.audit.record_in(&mut tx, linked).await?;
    tx.commit().await?;

    let superuser = host.db.superuser().await?;
    let bodies = sqlx::query_scalar("SELECT body FROM tenancy.webhook_events ORDER BY recorded_at");
    let stored: Vec<String> = bodies.fetch_all(&superuser).await?;
    assert_eq!(stored.len(), 2, "one of each event: {stored:?}");
    let stop = process.start(&host)?;
    receiver.wait_for(2).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let bodies = host.verified(&receiver.received())?;
    assert_eq!(types(&bodies), ["tenant.created", "tenant.linked"]);
    let told = &bodies.values().nth(1).ok_or("one of each")?["data"];
    assert_eq!(told["meta"]["api_key"], "[redacted]");
    assert_eq!(told["meta"]["plan"], "pro");
    assert_eq!(told["targets"][0]["kind"], "link");

    let jobs =
        "SELECT j::text FROM tenancy.jobs j UNION ALL SELECT h::text FROM tenancy.job_history h";
    let jobs: Vec<String> = sqlx::query_scalar(jobs).fetch_all(&superuser).await?;
    assert!(jobs.len() >= 2, "{jobs:?}");
    let sent = bodies.values().map(Value::to_string);
    for text in stored.into_iter().chain(jobs).chain(sent) {
        assert!(!text.contains(SECRET) && !text.contains("ann@"), "{text}");
    }
    stop.cancel();
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_is_gone_parks_its_messages() -> Result {
    let receiver = Receiver::start(|_| Reply::Status(410, "")).await?;
    let host = Host::new(&receiver).await?;
    let process = host.process()?;
    let stop = process.start(&host)?;
    process.tenant("acme").await?;
    receiver.wait_for(1).await?;
    process.tenant("bolt").await?;
    let mut states = Vec::new();
    for _ in 0..400 {
        let page = process.jobs.list(&host.ours, &JobQuery::default()).await?;
        states = page.jobs.iter().map(|job| job.state).collect();
        if states == [JobState::Parked, JobState::Parked] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(states, [JobState::Parked, JobState::Parked]);
    assert_eq!(receiver.received().len(), 1, "it is asked once");
    stop.cancel();
    Ok(())
}
