//! A tool call that happens once, however often it is asked for.

use std::sync::Arc;

use serde_json::json;
use tenancy::{
    core::CredentialId,
    mcp::{
        AuthKind, EffectClass, InvokeOptions, McpCatalog, NewConnection, Provider, ProviderKey,
        ToolName, ToolRouter,
        transport::{EgressPolicy, RmcpTransport},
    },
};
use tokio::process::Command;

use super::{
    onboarding::{People, said},
    secrets::API_KEY,
};
use crate::{Result, Screen, World};

const SMARTLEAD: ProviderKey = ProviderKey::from_static("smartlead");
const TOOL: &str = "smartlead.update_lead";

pub(crate) async fn run(
    screen: &mut Screen,
    world: &World,
    people: &People,
    api_key: CredentialId,
) -> Result {
    screen.step("A tool call");
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["peer", "smartlead"])
        .env("SMARTLEAD_API_KEY", API_KEY);
    let peer = example_smartlead_server::Peer::start(command).await?;
    screen.got(format!(
        "an MCP server at {} in a process of its own",
        peer.url()
    ));
    let provider = Provider::http(SMARTLEAD, "Smartlead", peer.url())?.with_auth(AuthKind::Bearer);
    McpCatalog::new(world.operator.clone())
        .put(&provider)
        .await?;
    let router = router(world)?;
    connect(screen, people, &router, api_key).await?;

    let params = json!({
        "campaign_id": 7, "lead_id": 42, "email": "lead42@example.com", "company_name": "Initech",
    });
    screen.ask(format!("{TOOL} {params}, twice under the key `sync-42`"));
    let call = async || {
        let options = InvokeOptions::once("sync-42");
        router
            .invoke_mcp_tool(&people.ada, TOOL, params.clone(), options)
            .await
    };
    let (first, second) = (call().await?, call().await?);
    let calls = peer.calls("update_lead").await?;
    screen.got(format!(
        "{} (replayed: {})",
        first.text_content(),
        first.replayed
    ));
    screen.got(format!(
        "the same bytes (replayed: {}); the server counts {calls} call",
        second.replayed
    ));
    screen.promise(
        "the same key returns the stored result and calls nothing",
        first.text == second.text && second.replayed && calls == 1,
    );

    refusals(screen, people, &router, &peer).await
}

/// Calls that must not reach the server.
async fn refusals(
    screen: &mut Screen,
    people: &People,
    router: &ToolRouter,
    peer: &example_smartlead_server::Peer,
) -> Result {
    let other = json!({"campaign_id": 7, "lead_id": 43, "email": "other@example.com"});
    let options = InvokeOptions::once("sync-42");
    let conflict = router
        .invoke_mcp_tool(&people.ada, TOOL, other, options)
        .await;
    screen.ask("the same key with other parameters");
    screen.got(said(&conflict));
    let bad = json!({"campaign_id": "seven"});
    let refused = router
        .invoke_mcp_tool(&people.ada, TOOL, bad, InvokeOptions::once("bad"))
        .await;
    screen.ask("parameters that break the tool's schema");
    screen.got(said(&refused));
    let unsent = peer.calls("update_lead").await? == 1;
    screen.promise(
        "neither reaches the server",
        conflict.is_err() && refused.is_err() && unsent,
    );
    Ok(())
}

fn router(world: &World) -> Result<ToolRouter> {
    // The peer is on this machine; a host's own policy keeps to https and public addresses.
    let egress = EgressPolicy::default().with_loopback(true);
    let transport = RmcpTransport::builder().egress(egress).build()?;
    Ok(ToolRouter::builder(world.db.clone(), Arc::new(transport))
        .authorizer(world.authz.clone())
        .credentials(Arc::new(world.vault.clone()))
        .audit(world.audit.clone())
        .build()?)
}

async fn connect(
    screen: &mut Screen,
    people: &People,
    router: &ToolRouter,
    api_key: CredentialId,
) -> Result {
    let registry = router.registry();
    let new = || NewConnection::new(SMARTLEAD).with_credential(api_key);
    let denied = registry.connect(&people.bob, new()).await;
    screen.ask("bob (support) connects smartlead");
    screen.got(said(&denied));
    screen.promise(
        "a member without the permission can't connect",
        denied.is_err(),
    );

    screen.ask("ada connects it and looks at its tools");
    let connection = registry.connect(&people.ada, new()).await?;
    registry.discover(&people.ada, &connection.key).await?;
    let status = registry
        .connection(&people.ada, &connection.key)
        .await?
        .status;
    let tools = registry.tools(&people.ada, &connection.key).await?;
    let names: Vec<&str> = tools
        .iter()
        .map(|tool| tool.definition.name.as_str())
        .collect();
    screen.got(format!("{}; tools: {}", status.as_str(), names.join(", ")));
    screen.promise("the connection is up", status.as_str() == "connected");
    let found = tools
        .iter()
        .find(|tool| tool.definition.name == "update_lead");
    let seen = found
        .ok_or("the server has no `update_lead`")?
        .offered_hash();
    let name = ToolName::parse(TOOL)?;
    registry
        .approve(&people.ada, &name, seen, EffectClass::Idempotent)
        .await?;
    Ok(())
}
