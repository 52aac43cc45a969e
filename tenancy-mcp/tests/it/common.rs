//! What the tests share: a database with two tenants, a server in another process, and this test
//! program started again as a process of its own.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use async_trait::async_trait;
use example_smartlead_server::Peer;
use serde_json::{Value, json};
use tenancy_core::{
    Authorizer, Credential, CredentialId, CredentialSource, Error as CoreError, SecretText,
    TenantCtx, TenantDb,
    migrate::CORE,
    testing,
    testing::{FakeAuthorizer, MemoryAudit},
};
use tenancy_mcp::{
    COMPONENT, ConnectionKey, ConnectionStatus, EffectClass, InvokeOptions, McpCatalog,
    McpRegistry, McpTransport, NewConnection, Provider, ProviderKey, RouterLimits, ToolName,
    ToolOutcome, ToolRouter,
    transport::{EgressPolicy, RmcpTransport},
};
use tenancy_testkit::Db;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

pub(crate) const SMARTLEAD: ProviderKey = ProviderKey::from_static("smartlead");
pub(crate) const KEY: &str = "s3cr3t-api-key";
const CHILD: &str = "TENANCY_MCP_TEST_CHILD";

/// Gives every tenant the same secret, also in another process.
#[derive(Debug)]
pub(crate) struct OneSecret(pub(crate) String);

#[async_trait]
impl CredentialSource for OneSecret {
    async fn credential(
        &self,
        _: &TenantCtx,
        _: CredentialId,
    ) -> std::result::Result<Credential, CoreError> {
        Ok(Credential::new(SecretText::new(&self.0), 1))
    }

    async fn renewed(
        &self,
        ctx: &TenantCtx,
        id: CredentialId,
        _: i64,
    ) -> std::result::Result<Credential, CoreError> {
        self.credential(ctx, id).await
    }
}

/// A database with the catalog's tables, and the ports around it.
pub(crate) struct World {
    pub(crate) kit: Db,
    pub(crate) audit: MemoryAudit,
    pub(crate) authorizer: FakeAuthorizer,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let audit = MemoryAudit::new();
        Ok(Self {
            kit: Db::new(&[&CORE, &COMPONENT]).await?,
            authorizer: FakeAuthorizer::allowing_all().with_audit(audit.clone()),
            audit,
        })
    }

    pub(crate) async fn tenant(&self) -> Result<TenantCtx> {
        Ok(testing::tenant(&self.kit.app).await?)
    }

    /// Enters providers in the catalog.
    pub(crate) async fn catalog(&self, providers: &[Provider]) -> Result {
        let catalog = McpCatalog::new(self.kit.operator.clone());
        for provider in providers {
            catalog.put(provider).await?;
        }
        Ok(())
    }

    pub(crate) async fn smartlead(&self, peer: &Peer) -> Result {
        let provider = Provider::http(SMARTLEAD, "Smartlead", peer.url())?;
        self.catalog(&[provider]).await
    }

    /// Does something as the superuser: to plant a fault, or to look behind the policies.
    pub(crate) async fn superuser(&self, statement: &str) -> Result {
        let pool = self.kit.superuser().await?;
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&pool)
            .await;
        pool.close().await;
        done?;
        Ok(())
    }

    /// Plants a fault in a function of this database.
    pub(crate) async fn rewrite(&self, function: &str, from: &str, to: &str) -> Result {
        let pool = self.kit.superuser().await?;
        let text: String =
            sqlx::query_scalar("SELECT pg_get_functiondef(('tenancy.' || $1)::regproc)")
                .bind(function)
                .fetch_one(&pool)
                .await?;
        assert!(
            text.contains(from),
            "the fault can't be planted: `{from}` is not there"
        );
        let planted = text.replace(from, to);
        sqlx::raw_sql(sqlx::AssertSqlSafe(planted))
            .execute(&pool)
            .await?;
        pool.close().await;
        Ok(())
    }

    pub(crate) fn router(
        &self,
        transport: Arc<dyn McpTransport>,
        limits: RouterLimits,
    ) -> Result<ToolRouter> {
        self.router_with(transport, Arc::new(OneSecret(KEY.to_owned())), limits)
    }

    pub(crate) fn router_with(
        &self,
        transport: Arc<dyn McpTransport>,
        credentials: Arc<dyn CredentialSource>,
        limits: RouterLimits,
    ) -> Result<ToolRouter> {
        let authorizer: Arc<dyn Authorizer> = Arc::new(self.authorizer.clone());
        Ok(ToolRouter::builder(self.kit.app.clone(), transport)
            .authorizer(authorizer)
            .credentials(credentials)
            .audit(Arc::new(self.audit.clone()))
            .limits(limits)
            .build()?)
    }
}

/// The transport to servers on this machine.
pub(crate) fn local() -> Result<Arc<dyn McpTransport>> {
    let policy = EgressPolicy::default().with_loopback(true);
    Ok(Arc::new(RmcpTransport::builder().egress(policy).build()?))
}

/// Connects a tenant, and approves these tools as what they are said to be.
pub(crate) async fn connect(
    registry: &McpRegistry,
    ctx: &TenantCtx,
    provider: ProviderKey,
    tools: &[(&str, EffectClass)],
) -> Result<ConnectionKey> {
    let new = NewConnection::new(provider).with_credential(CredentialId::new());
    let connection = registry.connect(ctx, new).await?;
    assert_eq!(
        connection.status,
        ConnectionStatus::Connected,
        "{:?}",
        connection.status_reason
    );
    for (tool, effect) in tools {
        approve(registry, ctx, &connection.key, tool, effect.clone()).await?;
    }
    Ok(connection.key)
}

pub(crate) async fn approve(
    registry: &McpRegistry,
    ctx: &TenantCtx,
    connection: &ConnectionKey,
    tool: &str,
    effect: EffectClass,
) -> Result {
    let tools = registry.tools(ctx, connection).await?;
    let offered = tools.iter().find(|known| known.definition.name == tool);
    let seen = offered
        .ok_or(format!("`{tool}` is not offered"))?
        .offered_hash();
    let name = ToolName::new(connection.clone(), tool)?;
    Ok(registry.approve(ctx, &name, seen, effect).await?)
}

/// A tenant connected to Smartlead, with the tools approved as what they are.
pub(crate) async fn smartlead_tenant(world: &World, router: &ToolRouter) -> Result<TenantCtx> {
    let ctx = world.tenant().await?;
    let tools = [
        ("update_lead", EffectClass::Idempotent),
        ("add_leads", EffectClass::Unsafe),
        ("get_lead", EffectClass::Read),
    ];
    connect(&router.registry(), &ctx, SMARTLEAD, &tools).await?;
    Ok(ctx)
}

/// Parameters with every field of the real endpoint.
pub(crate) fn lead(id: i64) -> Value {
    json!({
        "campaign_id": 7, "lead_id": id, "email": "ada@example.com", "first_name": "Ada",
        "last_name": "Lovelace", "phone_number": "+44 20 7946 0000", "company_name": "Engines",
        "website": "https://engines.example", "location": "London",
        "linkedin_profile": "https://linkedin.example/ada", "company_url": "https://engines.example",
        "custom_fields": {"tier": "gold", "score": 1.5}
    })
}

pub(crate) fn new_leads() -> Value {
    json!({"campaign_id": 7, "lead_list": [{"email": "grace@example.com"}]})
}

/// Options that don't make a test wait.
pub(crate) fn quick(key: &str) -> InvokeOptions {
    InvokeOptions::once(key)
        .with_deadline(Duration::from_secs(20))
        .with_backoff(Duration::from_millis(20))
}

// -- processes ------------------------------------------------------------------------------------

/// This test program, told to run one function of this module.
fn again(function: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exact", &format!("common::{function}"), "--nocapture"])
        .env(CHILD, function)
        .kill_on_drop(true);
    Ok(command)
}

fn is_child(function: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|child| child == function)
}

/// The Smartlead server in a process of its own.
pub(crate) async fn server() -> Result<Peer> {
    let mut command = again("process_of_the_server")?;
    command.env("SMARTLEAD_API_KEY", KEY);
    Ok(Peer::start(command).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_of_the_server() -> Result {
    if is_child("process_of_the_server") {
        example_smartlead_server::run().await?;
    }
    Ok(())
}

/// A call made by another process.
pub(crate) struct OtherProcess {
    child: Child,
}

impl OtherProcess {
    /// Starts it. Its tries last a second, its claims half a second longer.
    pub(crate) fn call(
        world: &World,
        ctx: &TenantCtx,
        tool: &str,
        params: &Value,
        key: &str,
    ) -> Result<Self> {
        let user = ctx.user().ok_or("the context is of no user")?;
        let mut command = again("process_of_a_caller")?;
        command
            .env("TEST_DB", world.kit.server.app_url())
            .env("TEST_TENANT", ctx.tenant().to_string())
            .env("TEST_USER", user.to_string())
            .env("TEST_TOOL", tool)
            .env("TEST_PARAMS", params.to_string())
            .env("TEST_KEY", key)
            .stdout(std::process::Stdio::piped());
        Ok(Self {
            child: command.spawn()?,
        })
    }

    /// What it got: `{"text", "replayed", "attempts"}` or `{"error"}`.
    pub(crate) async fn answer(mut self) -> Result<Value> {
        let stdout = self.child.stdout.take().ok_or("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some((_, answer)) = line.split_once("ANSWER ") {
                return Ok(serde_json::from_str(answer)?);
            }
        }
        Err("the other process gave no answer".into())
    }

    /// Kills it with SIGKILL, in the middle of whatever it does.
    pub(crate) async fn kill(mut self) -> Result {
        Ok(self.child.kill().await?)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_of_a_caller() -> Result {
    if !is_child("process_of_a_caller") {
        return Ok(());
    }
    let var = |name: &str| std::env::var(name);
    let db = TenantDb::connect(&var("TEST_DB")?).await?;
    let ctx = db
        .enter(var("TEST_TENANT")?.parse()?, var("TEST_USER")?.parse()?)
        .await?;
    let router = ToolRouter::builder(db, local()?)
        .authorizer(Arc::new(FakeAuthorizer::allowing_all()))
        .credentials(Arc::new(OneSecret(KEY.to_owned())))
        .audit(Arc::new(MemoryAudit::new()))
        .limits(RouterLimits::default().with_lease_grace(Duration::from_millis(500)))
        .build()?;
    let options = quick(&var("TEST_KEY")?).with_attempt_timeout(Duration::from_secs(1));
    let params = serde_json::from_str(&var("TEST_PARAMS")?)?;
    let outcome = router
        .invoke_mcp_tool(&ctx, &var("TEST_TOOL")?, params, options)
        .await;
    println!("ANSWER {}", shown(outcome));
    Ok(())
}

fn shown(outcome: std::result::Result<ToolOutcome, tenancy_mcp::Error>) -> Value {
    match outcome {
        Ok(outcome) => json!({
            "text": outcome.text, "replayed": outcome.replayed, "attempts": outcome.attempts
        }),
        Err(error) => json!({"error": error.code()}),
    }
}

/// Waits until a condition holds, at most ten seconds.
pub(crate) async fn until<F: Future<Output = Result<bool>>>(check: impl Fn() -> F) -> Result {
    for _ in 0..500 {
        if check().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("it did not come true within ten seconds".into())
}
