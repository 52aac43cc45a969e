//! Calls end to end: a real MCP server in another process, a real database, the app's login.

use std::time::Duration;

use crate::common::{
    OtherProcess, Result, SMARTLEAD, World, lead, local, new_leads, quick, server, smartlead_tenant,
};
use serde_json::json;
use tenancy_core::{Outcome, testing};
use tenancy_mcp::{
    ConnectionStatus, ErrorKind, IdempotencyKey, InvokeOptions, Resolution, RouterLimits, ToolName,
    perm,
};

const UPDATE: &str = "smartlead.update_lead";
const ADD: &str = "smartlead.add_leads";

#[tokio::test]
async fn a_lead_is_updated_with_the_fields_of_the_real_endpoint() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;

    let first = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(3), quick("job-1"))
        .await?;
    assert_eq!(first.structured(), Some(&json!({"ok": true})));
    assert!(!first.is_error && !first.replayed);
    assert_eq!(first.attempts, 1);
    let more = json!({
        "campaign_id": 8, "lead_id": 3, "email": "ada@example.com", "custom_fields": {"more": 2}
    });
    router
        .invoke_mcp_tool(&ctx, UPDATE, more, quick("job-2"))
        .await?;

    let stored = peer.stats().await?["leads"]["3"].clone();
    assert_eq!(stored["last_name"], "Lovelace");
    assert_eq!(
        stored["custom_fields"],
        json!({"tier": "gold", "score": 1.5, "more": 2})
    );
    let audited = world.audit.of("mcp.tool.invoked");
    assert_eq!(audited.len(), 2);
    assert_eq!(audited[0].tenant, ctx.tenant());
    assert_eq!(audited[0].event.meta["state"], "succeeded");

    let shown = router
        .invoke_mcp_tool(
            &ctx,
            "smartlead.get_lead",
            json!({"lead_id": 3}),
            InvokeOptions::default(),
        )
        .await?;
    assert_eq!(shown.structured().unwrap()["first_name"], "Ada");
    Ok(())
}

#[tokio::test]
async fn the_same_key_gets_the_stored_bytes_and_calls_nothing() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    let first = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("once"))
        .await?;

    let again = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("once"))
        .await?;
    assert!(again.replayed);
    assert_eq!(again.text, first.text);

    // After a restart: nothing of the first router is left.
    drop(router);
    let router = world.router(local()?, RouterLimits::default())?;
    let again = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("once"))
        .await?;
    assert_eq!((again.replayed, &again.text), (true, &first.text));

    // From another process of the operating system.
    let other = OtherProcess::call(&world, &ctx, ADD, &new_leads(), "once")?
        .answer()
        .await?;
    assert_eq!(
        other,
        json!({"text": first.text, "replayed": true, "attempts": 1})
    );
    assert_eq!(peer.calls("add_leads").await?, 1);

    // With the server gone, too.
    peer.kill().await?;
    let again = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("once"))
        .await?;
    assert_eq!(again.text, first.text);
    Ok(())
}

#[tokio::test]
async fn of_processes_that_race_for_a_key_one_calls_and_all_get_its_result() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(OtherProcess::call(&world, &ctx, ADD, &new_leads(), "race")?);
    }
    let mine = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("race"))
        .await?;
    for other in others {
        assert_eq!(other.answer().await?["text"], mine.text);
    }
    assert_eq!(peer.calls("add_leads").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_key_with_other_parameters_is_a_conflict() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    router
        .invoke_mcp_tool(&ctx, UPDATE, lead(1), quick("k"))
        .await?;
    let error = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(2), quick("k"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Conflict, "idempotency_key_reused")
    );
    assert_eq!(peer.calls("update_lead").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_transient_failure_is_retried() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    peer.fault(&json!({"mode": "status", "status": 503, "count": 2}))
        .await?;
    let done = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(1), quick("k"))
        .await?;
    assert_eq!(done.attempts, 3);
    assert_eq!(peer.calls("update_lead").await?, 1);
    let states: Vec<_> = world
        .audit
        .of("mcp.tool.invoked")
        .iter()
        .map(|entry| entry.event.meta["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        states,
        ["retryable", "retryable", "succeeded"],
        "every try is on record"
    );
    let connection = router
        .registry()
        .connection(&ctx, &"smartlead".parse()?)
        .await?;
    assert_eq!(connection.status, ConnectionStatus::Connected);
    Ok(())
}

#[tokio::test]
async fn a_call_that_ran_out_of_tries_goes_on_under_its_key() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    peer.fault(&json!({"mode": "status", "status": 500, "count": 2}))
        .await?;
    let twice = quick("k").with_max_attempts(2);
    let error = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(1), twice)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert!(error.retry().is_retryable());
    let done = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(1), quick("k"))
        .await?;
    assert_eq!((done.attempts, done.replayed), (3, false));
    Ok(())
}

#[tokio::test]
async fn an_unknown_outcome_is_not_repeated_unless_the_tool_is_idempotent() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;

    peer.fault(&json!({"mode": "drop_after_effect"})).await?;
    let done = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(1), quick("k"))
        .await?;
    assert_eq!(done.attempts, 2);
    assert_eq!(
        peer.calls("update_lead").await?,
        2,
        "setting fields twice does no harm"
    );

    peer.fault(&json!({"mode": "drop_after_effect"})).await?;
    let call = || router.invoke_mcp_tool(&ctx, ADD, new_leads(), quick("k"));
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(call().await.unwrap_err().code(), "outcome_unknown");
    let other = OtherProcess::call(&world, &ctx, ADD, &new_leads(), "k")?
        .answer()
        .await?;
    assert_eq!(other, json!({"error": "outcome_unknown"}));
    assert_eq!(peer.calls("add_leads").await?, 1, "adding leads twice does");

    // Somebody looks, and says what became of it.
    let registry = router.registry();
    let unknown = registry.unknown(&ctx).await?;
    assert_eq!(unknown.len(), 1);
    let (name, key) = (ToolName::parse(ADD)?, IdempotencyKey::parse("k")?);
    let seen = Resolution::Succeeded(json!({"ok": true}));
    registry.resolve(&ctx, &name, &key, seen).await?;
    let settled = call().await?;
    assert_eq!(
        (settled.replayed, settled.structured()),
        (true, Some(&json!({"ok": true})))
    );
    assert_eq!(world.audit.of("mcp.invocation.resolved").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_timeout_is_an_unknown_outcome_and_does_not_end_the_session() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    peer.fault(&json!({"mode": "hang"})).await?;
    let short = quick("k").with_attempt_timeout(Duration::from_millis(300));
    let error = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), short)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("k2"))
        .await?;
    assert_eq!(peer.calls("add_leads").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_refusal_with_retry_after_is_retried_only_where_the_provider_promises() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    let busy = json!({"mode": "status", "status": 429, "retry_after": 0});
    peer.fault(&busy).await?;
    let error = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("a"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);

    let promise = tenancy_mcp::Provider::http(SMARTLEAD, "Smartlead", peer.url())?;
    world
        .catalog(&[promise.with_rejects_before_work(true)])
        .await?;
    peer.fault(&busy).await?;
    let done = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("b"))
        .await?;
    assert_eq!(done.attempts, 2);
    assert_eq!(peer.calls("add_leads").await?, 1);
    Ok(())
}

#[tokio::test]
async fn parameters_that_break_the_schema_are_refused_and_nothing_is_stored() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    let too_many: serde_json::Map<_, _> = (0..201).map(|n| (format!("f{n}"), json!(n))).collect();
    let bad = [
        json!({"campaign_id": 7, "lead_id": 1}),
        json!({"campaign_id": "seven", "lead_id": 1, "email": "a@example.com"}),
        json!({"campaign_id": 7, "lead_id": 1, "email": 5}),
        json!({"campaign_id": 7, "lead_id": 1, "email": "a@example.com", "custom_fields": too_many}),
        json!([1, 2]),
        json!("text"),
    ];
    for params in bad {
        let shown = params.to_string();
        let error = router
            .invoke_mcp_tool(&ctx, UPDATE, params, quick("k"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::InvalidInput, "params_invalid"),
            "{shown}"
        );
    }
    assert!(world.audit.of("mcp.tool.invoked").is_empty());
    assert_eq!(peer.stats().await?["received"], 0);
    // Nothing was stored under the key: it is still free.
    let done = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(1), quick("k"))
        .await?;
    assert_eq!(done.attempts, 1);
    Ok(())
}

#[tokio::test]
async fn names_and_keys_that_make_no_sense_are_refused() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    let long = "k".repeat(256);
    let cases = [
        ("", "k", "tool_name_invalid"),
        ("Smartlead.update_lead", "k", "connection_key_invalid"),
        ("smartlead.update lead'; --", "k", "tool_name_invalid"),
        ("smartlead.nothing", "k", "not_found"),
        ("other.update_lead", "k", "not_found"),
        (UPDATE, "", "idempotency_key_invalid"),
        (UPDATE, "a\0b", "idempotency_key_invalid"),
        (UPDATE, &long, "idempotency_key_invalid"),
    ];
    for (tool, key, code) in cases {
        let error = router
            .invoke_mcp_tool(&ctx, tool, lead(1), quick(key))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{tool} {key:?}");
    }
    let keyless = InvokeOptions::default();
    let error = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), keyless)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "idempotency_key_required");
    Ok(())
}

#[tokio::test]
async fn a_tools_own_error_is_an_answer_that_is_replayed() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    let first = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(-5), quick("k"))
        .await?;
    assert!(first.is_error);
    assert!(first.text_content().contains("404"), "{}", first.text);
    let again = router
        .invoke_mcp_tool(&ctx, UPDATE, lead(-5), quick("k"))
        .await?;
    assert_eq!(
        (again.is_error, again.replayed, again.text),
        (true, true, first.text)
    );
    assert_eq!(peer.calls("update_lead").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_member_without_the_permission_is_refused_and_that_is_audited() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let owner = smartlead_tenant(&world, &router).await?;
    router
        .invoke_mcp_tool(&owner, ADD, new_leads(), quick("k"))
        .await?;

    let member = testing::member(&world.kit.app, &owner).await?;
    let authorizer = testing::FakeAuthorizer::new().with_audit(world.audit.clone());
    let strict = World {
        authorizer: authorizer.clone(),
        ..world
    };
    let router = strict.router(local()?, RouterLimits::default())?;
    let call = || router.invoke_mcp_tool(&member, ADD, new_leads(), quick("k"));
    let error = call().await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Denied,
        "not even the stored result is shown"
    );
    let denials = strict.audit.of("access.denied");
    assert_eq!(denials.len(), 1);
    assert_eq!(denials[0].event.outcome, Outcome::Denied);
    assert_eq!(denials[0].event.targets[0].id, "mcp.tools.invoke");

    authorizer.grant(
        &member,
        <perm::ToolsInvoke as tenancy_core::Permission>::KEY,
    );
    assert!(call().await?.replayed);
    assert_eq!(peer.calls("add_leads").await?, 1);
    Ok(())
}

#[tokio::test]
async fn two_tenants_with_one_key_are_two_calls() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let a = smartlead_tenant(&world, &router).await?;
    let b = smartlead_tenant(&world, &router).await?;
    let first = router
        .invoke_mcp_tool(&a, ADD, new_leads(), quick("k"))
        .await?;
    let second = router
        .invoke_mcp_tool(&b, ADD, new_leads(), quick("k"))
        .await?;
    assert!(!second.replayed);
    assert_ne!(first.text, second.text);
    assert_eq!(peer.calls("add_leads").await?, 2);
    assert!(router.registry().unknown(&b).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_gone_degrades_the_connection_until_it_is_back() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    peer.kill().await?;
    let error = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("k"))
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Upstream,
        "nothing was sent: not unknown"
    );
    let (registry, key) = (router.registry(), "smartlead".parse()?);
    let seen = registry.connection(&ctx, &key).await?;
    assert_eq!(seen.status, ConnectionStatus::Degraded);
    assert!(seen.status_reason.is_some());

    let peer = server().await?;
    world.smartlead(&peer).await?;
    let done = router
        .invoke_mcp_tool(&ctx, ADD, new_leads(), quick("k"))
        .await?;
    assert!(!done.replayed);
    let seen = registry.connection(&ctx, &key).await?;
    assert_eq!(seen.status, ConnectionStatus::Connected);
    assert_eq!(peer.calls("add_leads").await?, 1);
    Ok(())
}
