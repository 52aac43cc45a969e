//! Against the reference server, which others wrote: npm's `server-everything` on Node, over
//! streamable HTTP and over stdio.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::json;
use tenancy_core::TenantCtx;
use tenancy_devdb::Node;
use tenancy_mcp::{
    AuthKind, EffectClass, ErrorKind, InvokeOptions, McpTransport, NewConnection, Provider,
    ProviderKey, RouterLimits, ToolRouter,
    transport::{EgressPolicy, RmcpTransport, StdioCommand},
};
use tokio::process::{Child, Command};

use crate::common::{Result, World, approve, local, quick, until};

const EVERYTHING: ProviderKey = ProviderKey::from_static("everything");

/// Whether the run says aloud that it goes without peers.
fn skipped() -> bool {
    let skip = std::env::var("TENANCY_SKIP_PEERS").is_ok_and(|skip| skip == "1");
    if skip {
        eprintln!("skipped: TENANCY_SKIP_PEERS=1");
    }
    skip
}

struct Everything {
    node: Node,
    script: PathBuf,
}

impl Everything {
    async fn install() -> Result<Self> {
        let node = Node::ensure().await?;
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/everything");
        let dir = node.npm_ci(here).await?;
        let script = dir.join("server.mjs");
        Ok(Self { node, script })
    }

    /// Serves streamable HTTP on a free port until the child is dropped.
    async fn http(&self) -> Result<(Child, String)> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let mut command = Command::from(self.node.command());
        command
            .arg(&self.script)
            .arg("streamableHttp")
            .env("PORT", port.to_string())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn()?;
        until(|| async move {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok())
        })
        .await?;
        Ok((child, format!("http://127.0.0.1:{port}/mcp")))
    }

    fn stdio(&self) -> Result<Arc<dyn McpTransport>> {
        let node = self.node.command();
        let program = node.get_program().to_str().ok_or("the path is no text")?;
        let script = self.script.to_str().ok_or("the path is no text")?;
        let command = StdioCommand::new(program).arg(script).arg("stdio");
        let transport = RmcpTransport::builder()
            .egress(EgressPolicy::default())
            .command("everything", command)
            .build()?;
        Ok(Arc::new(transport))
    }
}

/// Connects, checks the parameters, calls, replays, and runs out of time.
async fn calls(world: &World, router: &ToolRouter) -> Result {
    let (ctx, registry) = (world.tenant().await?, router.registry());
    let connection = registry
        .connect(&ctx, NewConnection::new(EVERYTHING))
        .await?;
    assert_eq!(
        connection.status.as_str(),
        "connected",
        "{:?}",
        connection.status_reason
    );
    assert_eq!(connection.protocol.as_deref(), Some("2025-11-25"));
    let tools = registry.tools(&ctx, &connection.key).await?;
    assert!(tools.len() >= 10, "{} tools", tools.len());
    for tool in [
        "echo",
        "get-sum",
        "get-structured-content",
        "trigger-long-running-operation",
    ] {
        approve(&registry, &ctx, &connection.key, tool, EffectClass::Unsafe).await?;
    }

    let echo = json!({"message": "hällo"});
    let first = router
        .invoke_mcp_tool(&ctx, "everything.echo", echo.clone(), quick("k"))
        .await?;
    assert!(first.text_content().contains("hällo"), "{}", first.text);
    let again = router
        .invoke_mcp_tool(&ctx, "everything.echo", echo, quick("k"))
        .await?;
    assert_eq!((again.replayed, again.text), (true, first.text));

    let wrong = json!({"a": "one", "b": 2});
    let error = router
        .invoke_mcp_tool(&ctx, "everything.get-sum", wrong, quick("k"))
        .await;
    assert_eq!(
        error.err().map(|error| error.kind()),
        Some(ErrorKind::InvalidInput)
    );
    let sum = json!({"a": 1, "b": 2});
    let sum = router
        .invoke_mcp_tool(&ctx, "everything.get-sum", sum, quick("k"))
        .await?;
    assert!(sum.text_content().contains('3'), "{}", sum.text);

    let place = json!({"location": "Chicago"});
    let tool = "everything.get-structured-content";
    let weather = router
        .invoke_mcp_tool(&ctx, tool, place, quick("k"))
        .await?;
    assert!(
        weather
            .structured()
            .is_some_and(|content| content["temperature"].is_number())
    );

    runs_out_of_time(&ctx, router).await
}

/// A call that takes too long is in doubt, and the session lives on.
async fn runs_out_of_time(ctx: &TenantCtx, router: &ToolRouter) -> Result {
    let slow = json!({"duration": 5, "steps": 5});
    let tool = "everything.trigger-long-running-operation";
    let options = InvokeOptions::once("slow").with_attempt_timeout(Duration::from_millis(300));
    let error = router.invoke_mcp_tool(ctx, tool, slow, options).await.err();
    assert_eq!(
        error.map(|error| error.kind()),
        Some(ErrorKind::OutcomeUnknown)
    );
    let after = json!({"message": "still there"});
    router
        .invoke_mcp_tool(ctx, "everything.echo", after, quick("k2"))
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_server_is_called_over_streamable_http() -> Result {
    if skipped() {
        return Ok(());
    }
    let world = World::new().await?;
    let (_child, url) = Everything::install().await?.http().await?;
    let provider = Provider::http(EVERYTHING, "Everything", &url)?.with_auth(AuthKind::None);
    world.catalog(&[provider]).await?;
    calls(&world, &world.router(local()?, RouterLimits::default())?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_server_is_called_over_stdio() -> Result {
    if skipped() {
        return Ok(());
    }
    let world = World::new().await?;
    let peer = Everything::install().await?;
    let stdio = Provider::stdio(EVERYTHING, "Everything", "everything")?;
    world.catalog(&[stdio.with_auth(AuthKind::None)]).await?;
    calls(
        &world,
        &world.router(peer.stdio()?, RouterLimits::default())?,
    )
    .await
}

#[tokio::test]
async fn a_command_that_the_hosts_code_does_not_name_is_not_started() -> Result {
    let world = World::new().await?;
    let stdio = Provider::stdio(EVERYTHING, "Everything", "everything")?;
    world.catalog(&[stdio.with_auth(AuthKind::None)]).await?;
    let registry = world.router(local()?, RouterLimits::default())?.registry();
    let ctx = world.tenant().await?;
    let connection = registry
        .connect(&ctx, NewConnection::new(EVERYTHING))
        .await?;
    assert_eq!(connection.status.as_str(), "degraded");
    assert_eq!(
        connection.status_reason.as_deref(),
        Some("the host has no command `everything`")
    );
    let error = registry.discover(&ctx, &connection.key).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Misconfigured, "endpoint_forbidden")
    );
    Ok(())
}

#[tokio::test]
async fn an_endpoint_inside_the_hosts_network_is_not_reached() -> Result {
    let world = World::new().await?;
    let inside = Provider::http(EVERYTHING, "Inside", "https://169.254.169.254/latest")?;
    world.catalog(&[inside.with_auth(AuthKind::None)]).await?;
    let registry = world.router(local()?, RouterLimits::default())?.registry();
    let ctx = world.tenant().await?;
    let connection = registry
        .connect(&ctx, NewConnection::new(EVERYTHING))
        .await?;
    let error = registry.discover(&ctx, &connection.key).await.unwrap_err();
    assert_eq!(error.code(), "endpoint_forbidden");
    Ok(())
}
