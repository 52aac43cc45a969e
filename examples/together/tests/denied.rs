//! A denial is one entry wherever it happens: in the handler of a job, in a batch, in a call of a tool,
//! in a service of another crate.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenancy_audit::{AuditLog, AuditQuery, AuditStore as _, PgAuditLog, PgAuditStore};
use tenancy_authz::{PgAuthorizer, perm, sync_permissions, testing};
use tenancy_core::{
    Authorizer, AuthorizerExt as _, Error, ErrorKind, JobHandler, JobId, JobKind, JobRun,
    Permission as _, SecretText, TenantCtx, TenantTx,
    migrate::{CORE, Component},
    testing::FakeCredentials,
};
use tenancy_jobs::{BatchHandler, Checkpoint, Chunk, Job, JobQueue, TxHandler, Worker};
use tenancy_mcp::{
    ErrorKind as McpErrorKind, InvokeOptions, NewConnection, ToolRouter, testing::FakeTransport,
};
use tenancy_secrets::{LocalKeyring, PutMode, SecretId, SecretPath, SecretQuery, SecretVault};
use tenancy_testkit::Db;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

const PARTS: &[&Component] = &[
    &CORE,
    &tenancy_audit::COMPONENT,
    &tenancy_authz::COMPONENT,
    &tenancy_jobs::COMPONENT,
    &tenancy_mcp::COMPONENT,
    &tenancy_secrets::COMPONENT,
];

struct Host {
    db: Db,
    audit: Arc<PgAuditLog>,
    authz: Arc<PgAuthorizer>,
    store: PgAuditStore,
    owner: TenantCtx,
    other: TenantCtx,
    viewer: TenantCtx,
}

impl Host {
    async fn new() -> Result<Self> {
        let db = Db::new(PARTS).await?;
        let known: Vec<_> = PARTS
            .iter()
            .flat_map(|part| part.permissions)
            .copied()
            .collect();
        sync_permissions(&db.operator, &known).await?;
        let audit = Arc::new(PgAuditLog::new(db.app.clone()));
        let authz = Arc::new(PgAuthorizer::new(db.app.clone(), audit.clone()));
        let owner = testing::tenant(&db.app, &authz).await?;
        let other = testing::tenant(&db.app, &authz).await?;
        let viewer = testing::member(&db.app, &authz, &owner, &["viewer"]).await?;
        let store = PgAuditStore::new(db.app.clone());
        Ok(Self {
            db,
            audit,
            authz,
            store,
            owner,
            other,
            viewer,
        })
    }

    /// The denials in a tenant: who was denied, and what.
    async fn denials(&self, ctx: &TenantCtx) -> Result<Vec<(String, Vec<String>)>> {
        let query = AuditQuery::new().with_limit(1_000);
        let page = self.store.search(ctx, &query).await?;
        let denied = page
            .entries
            .into_iter()
            .filter(|entry| entry.action == "access.denied");
        Ok(denied
            .map(|entry| {
                let targets = entry.targets.iter().map(|target| target.id.clone());
                (entry.actor.id.clone(), targets.collect())
            })
            .collect())
    }
}

#[derive(Deserialize, Serialize)]
struct Clean;

impl Job for Clean {
    const KIND: JobKind = JobKind::from_static("roles.clean");
}

#[derive(Deserialize, Serialize)]
struct CleanInTransaction;

impl Job for CleanInTransaction {
    const KIND: JobKind = JobKind::from_static("roles.clean_in");
}

#[derive(Deserialize, Serialize)]
struct CleanInSteps;

impl Job for CleanInSteps {
    const KIND: JobKind = JobKind::from_static("roles.clean_steps");
}

#[derive(Deserialize, Serialize)]
struct CleanGuarded;

impl Job for CleanGuarded {
    const KIND: JobKind = JobKind::from_static("roles.clean_guarded");
}

/// A handler that the worker guards: nobody gets here without the permission.
struct Unreached;

#[async_trait]
impl JobHandler for Unreached {
    fn kind(&self) -> JobKind {
        CleanGuarded::KIND
    }

    async fn run(&self, _: &TenantCtx, _: &JobRun) -> Result<Value, Error> {
        Ok(json!("reached"))
    }
}

/// Asks for a permission in the handler of a job: by itself, in its transaction, and in the second step
/// of a batch.
struct Cleaner(Arc<PgAuthorizer>);

#[async_trait]
impl JobHandler for Cleaner {
    fn kind(&self) -> JobKind {
        Clean::KIND
    }

    async fn run(&self, ctx: &TenantCtx, _: &JobRun) -> Result<Value, Error> {
        self.0.require(ctx, perm::RolesManage::get()).await?;
        Ok(json!("cleaned"))
    }
}

#[async_trait]
impl TxHandler for Cleaner {
    fn kind(&self) -> JobKind {
        CleanInTransaction::KIND
    }

    async fn run_in(&self, tx: &mut TenantTx, _: &JobRun) -> Result<Value, Error> {
        let authorizer: Arc<dyn Authorizer> = self.0.clone();
        authorizer.require_in(tx, perm::RolesManage::get()).await?;
        Ok(json!("cleaned"))
    }
}

#[async_trait]
impl BatchHandler for Cleaner {
    fn kind(&self) -> JobKind {
        CleanInSteps::KIND
    }

    async fn total(&self, _: &mut TenantTx, _: &JobRun) -> Result<Option<u64>, Error> {
        Ok(Some(2))
    }

    async fn chunk(&self, tx: &mut TenantTx, _: &JobRun, at: &Checkpoint) -> Result<Chunk, Error> {
        if at.done == 0 {
            return Ok(Chunk::more(1, 1));
        }
        let authorizer: Arc<dyn Authorizer> = self.0.clone();
        authorizer.require_in(tx, perm::RolesManage::get()).await?;
        Ok(Chunk::end(1, "cleaned"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_in_the_handler_of_a_job_is_one_entry() -> Result {
    let host = Host::new().await?;
    let jobs = JobQueue::new(host.db.app.clone(), host.authz.clone(), host.audit.clone());
    let cleaner = Arc::new(Cleaner(host.authz.clone()));
    let worker = Worker::builder(
        host.db.worker.clone(),
        host.db.app.clone(),
        host.audit.clone(),
    )
    .handler(cleaner.clone())
    .tx_handler(cleaner.clone())
    .batch_handler(cleaner)
    .handler(Arc::new(Unreached))
    .require(CleanGuarded::KIND, perm::RolesManage::KEY)
    .authorizer(host.authz.clone())
    .waker(&jobs.waker())
    .build()?;
    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    let viewer = host.viewer.user().ok_or("a user")?.to_string();
    let missing = (viewer, vec!["roles.manage".to_owned()]);
    for id in [
        jobs.enqueue(&host.viewer, Clean).await?,
        jobs.enqueue(&host.viewer, CleanInTransaction).await?,
        jobs.enqueue(&host.viewer, CleanInSteps).await?,
        jobs.enqueue(&host.viewer, CleanGuarded).await?,
    ] {
        // It is parked with the reason, and not tried again.
        let ended = async {
            loop {
                let job = jobs.get(&host.owner, id).await?;
                if let Some(fault) = job.fault {
                    return Ok::<_, tenancy_jobs::Error>(fault);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let fault = tokio::time::timeout(Duration::from_secs(30), ended).await??;
        assert_eq!(fault.code, "permission_denied");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(host.denials(&host.owner).await?, vec![missing; 4]);
    assert_eq!(host.denials(&host.other).await?, []);
    stop.cancel();
    working.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_in_a_call_of_a_tool_is_one_entry_and_nothing_is_called() -> Result {
    let host = Host::new().await?;
    let transport = Arc::new(FakeTransport::default());
    let router = ToolRouter::builder(host.db.app.clone(), transport.clone())
        .authorizer(host.authz.clone())
        .credentials(Arc::new(FakeCredentials::new()))
        .audit(host.audit.clone())
        .build()?;
    let viewer = host.viewer.user().ok_or("a user")?.to_string();
    let missing = (viewer, vec!["mcp.tools.invoke".to_owned()]);
    for (at, options) in [
        InvokeOptions::once("one"),
        InvokeOptions::once("one"),
        InvokeOptions::once("two"),
    ]
    .into_iter()
    .enumerate()
    {
        let called = router
            .invoke_mcp_tool(&host.viewer, "crm.update_lead", json!({}), options)
            .await;
        let refused = called.err().ok_or("it has to be refused")?;
        assert_eq!(refused.kind(), McpErrorKind::Denied);
        assert!(tenancy_core::Error::from(refused).is_on_record());
        assert_eq!(
            host.denials(&host.owner).await?,
            vec![missing.clone(); at + 1]
        );
    }
    assert!(transport.done().is_empty() && transport.connects() == 0);
    assert_eq!(host.denials(&host.other).await?, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_of_several_permissions_at_once_is_one_entry() -> Result {
    let host = Host::new().await?;
    let viewer = host.viewer.user().ok_or("a user")?.to_string();
    let keys = [perm::RolesManage::KEY, "jobs.manage".parse()?];
    let named: Vec<_> = keys.iter().map(ToString::to_string).collect();
    for at in 1..=3 {
        let refused = host.authz.require_all(&host.viewer, &keys).await;
        assert!(refused.is_err());
        assert_eq!(
            host.denials(&host.owner).await?,
            vec![(viewer.clone(), named.clone()); at]
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a list of services")]
async fn a_denial_in_a_service_of_another_crate_is_one_entry() -> Result {
    let host = Host::new().await?;
    let (app, authz, audit) = (&host.db.app, &host.authz, &host.audit);
    let keys = LocalKeyring::parse(LocalKeyring::generate_entry("one")?.expose())?;
    let vault = SecretVault::new(app.clone(), keys, authz.clone(), audit.clone());
    let jobs = JobQueue::new(app.clone(), authz.clone(), audit.clone());
    let log = AuditLog::new(app.clone(), authz.clone(), audit.clone());
    let transport = Arc::new(FakeTransport::default());
    let router = ToolRouter::builder(app.clone(), transport.clone())
        .authorizer(authz.clone())
        .credentials(Arc::new(FakeCredentials::new()))
        .audit(audit.clone())
        .build()?;
    let (who, secret) = (&host.viewer, SecretId::new());
    let path = SecretPath::new("crm".parse()?);
    let text = SecretText::new("a secret".to_owned());
    let registry = router.registry();
    let refused: [(&str, Result<(), Error>); 10] = [
        (
            "secrets.write",
            core(vault.put(who, &path, text, PutMode::Upsert).await),
        ),
        ("secrets.read", core(vault.get(who, secret).await)),
        ("secrets.read", core(vault.get_at(who, &path).await)),
        (
            "secrets.read",
            core(vault.list(who, &SecretQuery::default()).await),
        ),
        ("secrets.write", core(vault.delete(who, secret).await)),
        ("jobs.manage", core(jobs.cancel(who, JobId::new()).await)),
        ("jobs.manage", core(jobs.retry(who, JobId::new()).await)),
        (
            "audit.read",
            core(log.search(who, &AuditQuery::new()).await),
        ),
        // In a transaction of its own that ends with the denial.
        (
            "mcp.connections.manage",
            core(
                registry
                    .connect(who, NewConnection::new("crm".parse()?))
                    .await,
            ),
        ),
        (
            "mcp.connections.manage",
            core(registry.discover(who, &"crm".parse()?).await),
        ),
    ];
    let viewer = who.user().ok_or("a user")?.to_string();
    let mut expected = Vec::new();
    for (permission, refused) in refused {
        let error = refused.err().ok_or(permission)?;
        assert_eq!(error.kind(), ErrorKind::Denied, "{permission}: {error}");
        assert!(error.is_on_record(), "{permission}");
        expected.push((viewer.clone(), vec![permission.to_owned()]));
    }
    let mut denials = host.denials(&host.owner).await?;
    denials.sort();
    expected.sort();
    assert_eq!(denials, expected);
    assert_eq!(host.denials(&host.other).await?, []);
    assert_eq!(transport.connects(), 0);
    Ok(())
}

fn core<T, E: Into<Error>>(done: Result<T, E>) -> Result<(), Error> {
    done.map(drop).map_err(Into::into)
}
