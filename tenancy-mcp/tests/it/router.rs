//! What the router does between the caller and the wire, on a server in memory.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tenancy_core::{CredentialId, TenantCtx, testing::FakeCredentials};
use tenancy_mcp::{
    CallFault, ConnectionStatus, EffectClass, ErrorKind, FaultKind, InvokeOptions, KeyPlace,
    NewConnection, Provider, RouterLimits, ToolDefinition, ToolReply, ToolRouter,
    testing::{FakeAnswer, FakeTransport},
};

use crate::common::{Result, SMARTLEAD, World, approve, connect, quick};

struct Stage {
    world: World,
    fake: FakeTransport,
    router: ToolRouter,
    ctx: TenantCtx,
}

async fn stage(effect: EffectClass, limits: RouterLimits) -> Result<Stage> {
    let world = World::new().await?;
    world
        .catalog(&[Provider::http(
            SMARTLEAD,
            "Fake",
            "https://fake.example/mcp",
        )?])
        .await?;
    let fake = FakeTransport::offering(vec![ToolDefinition::new("t", json!({"type": "object"}))]);
    let router = world.router(Arc::new(fake.clone()), limits)?;
    let ctx = world.tenant().await?;
    connect(&router.registry(), &ctx, SMARTLEAD, &[("t", effect)]).await?;
    Ok(Stage {
        world,
        fake,
        router,
        ctx,
    })
}

impl Stage {
    async fn call(
        &self,
        options: InvokeOptions,
    ) -> std::result::Result<tenancy_mcp::ToolOutcome, tenancy_mcp::Error> {
        self.router
            .invoke_mcp_tool(&self.ctx, "smartlead.t", json!({"n": 1}), options)
            .await
    }

    async fn status(&self) -> Result<ConnectionStatus> {
        let key = "smartlead".parse()?;
        Ok(self
            .router
            .registry()
            .connection(&self.ctx, &key)
            .await?
            .status)
    }
}

fn cut() -> CallFault {
    CallFault::maybe_sent(FaultKind::Closed, "cut")
}

#[tokio::test]
async fn a_refused_credential_is_renewed_once_and_then_somebody_has_to_connect_again() -> Result {
    let world = World::new().await?;
    world
        .catalog(&[Provider::http(
            SMARTLEAD,
            "Fake",
            "https://fake.example/mcp",
        )?])
        .await?;
    let fake = FakeTransport::offering(vec![ToolDefinition::new("t", json!({"type": "object"}))]);
    let vault = FakeCredentials::new();
    let ctx = world.tenant().await?;
    let credential = vault.put(&ctx, "first");
    let router = world.router_with(
        Arc::new(fake.clone()),
        Arc::new(vault.clone()),
        RouterLimits::default(),
    )?;
    let registry = router.registry();
    let new = NewConnection::new(SMARTLEAD).with_credential(credential);
    let key = registry.connect(&ctx, new).await?.key;
    approve(&registry, &ctx, &key, "t", EffectClass::Unsafe).await?;
    let call =
        |key: &'static str| router.invoke_mcp_tool(&ctx, "smartlead.t", json!({}), quick(key));
    call("k1").await?;

    // The token was exchanged behind our back; the open session learns it at its next call.
    fake.accept_only(&["second"]);
    vault.replace(&ctx, credential, "second");
    call("k2").await?;
    assert_eq!(fake.done().len(), 2);

    // Now it is refused in the middle, and there is nothing newer.
    fake.accept_only(&["third"]);
    let error = call("k3").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsReauth);
    let seen = registry.connection(&ctx, &key).await?;
    assert_eq!(seen.status, ConnectionStatus::NeedsReauth);
    assert_eq!(fake.done().len(), 2);

    vault.replace(&ctx, credential, "third");
    let new = NewConnection::new(SMARTLEAD).with_credential(credential);
    registry.connect(&ctx, new).await?;
    call("k3").await?;
    assert_eq!(
        fake.done().len(),
        3,
        "a refused call was not made, so its key goes on"
    );
    Ok(())
}

#[tokio::test]
async fn a_duplicate_waits_for_the_call_that_is_being_made() -> Result {
    let stage = stage(EffectClass::Unsafe, RouterLimits::default()).await?;
    stage
        .fake
        .next(FakeAnswer::Slow(Duration::from_millis(400)));
    let options = || quick("k");
    let short = quick("k").with_deadline(Duration::from_millis(150));
    let (first, second, third) = tokio::join!(
        stage.call(options()),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stage.call(options()).await
        },
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stage.call(short).await
        },
    );
    assert_eq!(first?.text, second?.text);
    assert_eq!(third.unwrap_err().kind(), ErrorKind::InFlight);
    assert_eq!(stage.fake.done().len(), 1);
    Ok(())
}

#[tokio::test]
async fn of_a_large_result_only_the_hash_is_kept_and_the_replay_says_so() -> Result {
    let limits = RouterLimits::default().with_max_stored_result_bytes(1_000);
    let stage = stage(EffectClass::Unsafe, limits).await?;
    let body = json!({"content": [{"type": "text", "text": "x".repeat(2_000)}]});
    stage.fake.next(FakeAnswer::Reply(ToolReply::new(body)));
    let first = stage.call(quick("k")).await?;
    assert!(first.text.len() > 2_000, "the first caller gets it whole");
    let error = stage.call(quick("k")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Limit, "result_not_kept")
    );
    assert_eq!(stage.fake.done().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_server_that_drops_repetitions_gets_a_key_of_its_own() -> Result {
    let place = KeyPlace::Argument("request_id".to_owned());
    let stage = stage(EffectClass::UpstreamKey(place), RouterLimits::default()).await?;
    stage.fake.next(FakeAnswer::FaultAfterEffect(cut()));
    stage.call(quick("k")).await?;
    let keys: Vec<_> = stage
        .fake
        .done()
        .iter()
        .map(|call| call.arguments["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 2, "repeated, since the server drops it");
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], "k", "tenants may share an account there");

    let own = json!({"request_id": "mine"});
    let error = stage
        .router
        .invoke_mcp_tool(&stage.ctx, "smartlead.t", own, quick("k2"))
        .await;
    assert_eq!(error.unwrap_err().code(), "params_invalid");
    let error = stage.call(InvokeOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "idempotency_key_required");
    Ok(())
}

#[tokio::test]
async fn a_key_in_the_requests_meta_is_handed_over() -> Result {
    let place = KeyPlace::Meta("example.com/idempotency-key".to_owned());
    let stage = stage(EffectClass::UpstreamKey(place), RouterLimits::default()).await?;
    stage.call(quick("k")).await?;
    let done = stage.fake.done();
    assert!(done[0].meta.contains_key("example.com/idempotency-key"));
    assert_eq!(done[0].arguments.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_read_without_a_key_is_repeated_and_audited_but_not_recorded() -> Result {
    let stage = stage(EffectClass::Read, RouterLimits::default()).await?;
    stage.fake.next(FakeAnswer::Fault(cut()));
    let options = InvokeOptions::default().with_backoff(Duration::from_millis(1));
    let done = stage.call(options).await?;
    assert_eq!((done.attempts, done.replayed), (0, false));
    assert_eq!(stage.world.audit.of("mcp.tool.invoked").len(), 2);
    let mut tx = stage.world.kit.app.read(&stage.ctx).await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.mcp_invocations")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(rows, 0);
    Ok(())
}

#[tokio::test]
async fn retries_end_when_the_tenants_budget_is_spent() -> Result {
    let limits = RouterLimits::default().with_retry_burst(3);
    let stage = stage(EffectClass::Idempotent, limits).await?;
    for _ in 0..60 {
        stage.fake.next(FakeAnswer::Fault(cut()));
    }
    for n in 0..10 {
        let options = quick(&format!("k{n}")).with_backoff(Duration::ZERO);
        assert_eq!(
            stage.call(options).await.unwrap_err().kind(),
            ErrorKind::Upstream
        );
    }
    let tries = stage.world.audit.of("mcp.tool.invoked").len();
    assert!(
        (13..=17).contains(&tries),
        "ten calls and a handful of retries, not {tries}"
    );
    Ok(())
}

#[tokio::test]
async fn a_refusal_of_the_call_itself_is_final_and_replayed() -> Result {
    let stage = stage(EffectClass::Idempotent, RouterLimits::default()).await?;
    stage.fake.next(FakeAnswer::Fault(CallFault::unsent(
        FaultKind::Rejected,
        "no such tool",
    )));
    assert_eq!(
        stage.call(quick("k")).await.unwrap_err().kind(),
        ErrorKind::Failed
    );
    assert_eq!(
        stage.call(quick("k")).await.unwrap_err().code(),
        "call_failed"
    );
    assert!(stage.fake.done().is_empty());
    Ok(())
}

#[tokio::test]
async fn sessions_are_shared_within_a_tenant_and_never_between_tenants() -> Result {
    let stage = stage(EffectClass::Read, RouterLimits::default()).await?;
    for _ in 0..5 {
        stage.call(InvokeOptions::default()).await?;
    }
    assert_eq!(stage.fake.connects(), 1);
    let other = stage.world.tenant().await?;
    connect(
        &stage.router.registry(),
        &other,
        SMARTLEAD,
        &[("t", EffectClass::Read)],
    )
    .await?;
    assert_eq!(stage.fake.connects(), 2);
    let registry = stage.router.registry();
    registry
        .disconnect(&stage.ctx, &"smartlead".parse()?, "test")
        .await?;
    let error = stage.call(InvokeOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    let new = NewConnection::new(SMARTLEAD).with_credential(CredentialId::new());
    registry.connect(&stage.ctx, new).await?;
    stage.call(InvokeOptions::default()).await?;
    assert_eq!(stage.fake.connects(), 3);
    assert_eq!(stage.status().await?, ConnectionStatus::Connected);
    Ok(())
}

#[tokio::test]
async fn a_closed_provider_stops_all_tenants_calls_at_once() -> Result {
    let stage = stage(EffectClass::Unsafe, RouterLimits::default()).await?;
    stage.call(quick("k1")).await?;
    let closed = Provider::http(SMARTLEAD, "Fake", "https://fake.example/mcp")?.with_allowed(false);
    stage.world.catalog(&[closed]).await?;
    let error = stage.call(quick("k2")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Blocked, "provider_closed")
    );
    assert!(stage.call(quick("k1")).await?.replayed);
    Ok(())
}

#[tokio::test]
async fn limits_on_parameters_are_typed_errors() -> Result {
    let stage = stage(EffectClass::Unsafe, RouterLimits::default()).await?;
    let large = json!({"x": "y".repeat(2 * 1024 * 1024)});
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({"x": deep});
    }
    for (params, code) in [(large, "params_too_large"), (deep, "params_too_deep")] {
        let call = stage
            .router
            .invoke_mcp_tool(&stage.ctx, "smartlead.t", params, quick("k"));
        assert_eq!(call.await.unwrap_err().code(), code);
    }
    stage.call(quick("k")).await?;
    Ok(())
}

#[tokio::test]
async fn a_call_without_a_key_is_not_tried_again_once_its_tool_was_revoked() -> Result {
    let stage = stage(EffectClass::Read, RouterLimits::default()).await?;
    let later = cut().with_retry_after(Some(Duration::from_secs(1)));
    stage.fake.next(FakeAnswer::Fault(later));
    let revoke = async {
        crate::common::until(|| async { Ok(stage.world.audit.of("mcp.tool.invoked").len() == 1) })
            .await?;
        let name = "smartlead.t".parse()?;
        Result::Ok(stage.router.registry().revoke(&stage.ctx, &name).await?)
    };
    let (outcome, revoked) = tokio::join!(stage.call(InvokeOptions::default()), revoke);
    revoked?;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Blocked);
    assert!(stage.fake.done().is_empty());
    Ok(())
}

/// What a server may say that no column can hold, or no clock add up.
#[tokio::test]
async fn a_servers_strange_words_cost_neither_the_outcome_nor_the_other_tools() -> Result {
    let stage = stage(EffectClass::Unsafe, RouterLimits::default()).await?;
    let nul = CallFault::maybe_sent(FaultKind::Closed, "cut\0off");
    stage.fake.next(FakeAnswer::Fault(nul.clone()));
    let error = stage.call(quick("nul")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::OutcomeUnknown, "outcome_unknown"),
        "kept as unknown, not lost"
    );
    let key = "smartlead".parse()?;
    let status = stage.router.registry().connection(&stage.ctx, &key).await?;
    assert_eq!(status.status, ConnectionStatus::Degraded);
    assert_eq!(status.status_reason.as_deref(), Some("cut\u{fffd}off"));

    let mut never = CallFault::unsent(FaultKind::Unreachable, "later");
    never.retry_after = Some(Duration::MAX);
    stage.fake.next(FakeAnswer::Fault(never));
    let options = quick("never").with_deadline(Duration::MAX);
    let call = stage.call(options.with_max_attempts(1));
    assert_eq!(call.await.unwrap_err().kind(), ErrorKind::Upstream);
    let pool = stage.world.kit.superuser().await?;
    let soon: bool = sqlx::query_scalar(
        "SELECT next_attempt_at < now() + interval '2 hours' FROM tenancy.mcp_invocations WHERE idem_key = 'never'",
    )
    .fetch_one(&pool)
    .await?;
    pool.close().await;
    assert!(
        soon,
        "an hour is the longest that a server may have us wait"
    );

    let mut bad = ToolDefinition::new("bad", json!({"type": "object"}));
    bad.description = Some("a\0b".to_owned());
    let mut huge = ToolDefinition::new("huge", json!({"type": "object"}));
    huge.description = Some("x".repeat(300_000));
    let good = ToolDefinition::new("good", json!({"type": "object", "pattern": "[^\\u0000]"}));
    stage.fake.offer(vec![bad, huge, good]);
    let news = stage.router.registry().discover(&stage.ctx, &key).await?;
    let names: Vec<_> = news.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["good", "t"], "one new, one gone, two left out");
    Ok(())
}
