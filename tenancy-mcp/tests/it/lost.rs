//! Tries whose callers were killed: ended and recorded once, by whoever comes upon them first.

use std::{sync::Arc, time::Duration};

use example_smartlead_server::Peer;
use serde_json::{Value, json};
use tenancy_core::{Actor, TenantCtx, testing::Recorded};
use tenancy_mcp::{
    Claimed, EffectClass, ErrorKind, InvocationState, InvocationStore, McpReconciler,
    PgInvocations, RouterLimits, ToolRouter, testing::MemoryInvocations,
};

use crate::{
    common::{
        OtherProcess, Result, SMARTLEAD, World, connect, lead, local, new_leads, quick, server,
        smartlead_tenant, until,
    },
    record::{BrokenAudit, claim_of, result, subjects},
};

fn lost(world: &World) -> Vec<Recorded> {
    world.audit.of("mcp.invocation.lost")
}

fn reconciler(world: &World) -> McpReconciler {
    let audit = Arc::new(world.audit.clone());
    McpReconciler::new(world.kit.worker.clone(), world.kit.app.clone(), audit)
}

/// A call that another process has sent, and never follows up.
async fn killed(
    world: &World,
    peer: &Peer,
    ctx: &TenantCtx,
    (tool, params, key): (&str, &Value, &str),
) -> Result {
    let before = peer.calls(tool).await?;
    peer.fault(&json!({"mode": "hang"})).await?;
    let name = format!("smartlead.{tool}");
    let other = OtherProcess::call(world, ctx, &name, params, key)?;
    until(|| async { Ok(peer.calls(tool).await? > before) }).await?;
    other.kill().await
}

async fn leases_are_over(world: &World) -> Result {
    until(|| async {
        let pool = world.kit.superuser().await?;
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM tenancy.mcp_invocations WHERE lease_until > clock_timestamp()",
        )
        .fetch_one(&pool)
        .await?;
        pool.close().await;
        Ok(left == 0)
    })
    .await
}

#[tokio::test]
async fn of_those_who_come_after_a_killed_caller_one_records_the_lost_try() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    let call = ("add_leads", &new_leads(), "k");
    killed(&world, &peer, &ctx, call).await?;
    assert!(lost(&world).is_empty(), "its lease still holds");
    leases_are_over(&world).await?;

    let again = || router.invoke_mcp_tool(&ctx, "smartlead.add_leads", new_leads(), quick("k"));
    // The early look says that it is unknown; the claim, which racing callers reach, records it.
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(world.audit.clone()));
    assert_eq!(store.end_lost(&ctx, 10).await?, 1);
    let (a, b, c) = tokio::join!(again(), again(), again());
    for outcome in [a, b, c] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    }
    assert_eq!(reconciler(&world).run(100).await?.ended, 0);
    let entries = lost(&world);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let user = ctx.user().ok_or("no user")?;
    let meta = &entries[0].event.meta;
    for (name, value) in [
        ("tool", json!("smartlead.add_leads")),
        ("call", json!("k")),
        ("state", json!("unknown")),
        ("code", json!("owner_lost")),
        ("attempt", json!(1)),
        ("caller", json!(format!("user:{user}"))),
    ] {
        assert_eq!(meta.get(name), Some(&value), "{name}");
    }
    assert_eq!(peer.calls("add_leads").await?, 1);
    Ok(())
}

/// One server, and in each of two tenants one killed call of each kind.
async fn two_tenants_with_lost_tries(
    world: &World,
    peer: &Peer,
) -> Result<(ToolRouter, [TenantCtx; 2])> {
    world.smartlead(peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let tenants = [
        smartlead_tenant(world, &router).await?,
        smartlead_tenant(world, &router).await?,
    ];
    for ctx in &tenants {
        killed(world, peer, ctx, ("add_leads", &new_leads(), "once")).await?;
        killed(world, peer, ctx, ("update_lead", &lead(1), "often")).await?;
    }
    leases_are_over(world).await?;
    Ok((router, tenants))
}

#[tokio::test]
async fn reconcilers_end_the_lost_tries_of_all_tenants_once_and_leave_the_living_alone() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    let (router, tenants) = two_tenants_with_lost_tries(&world, &peer).await?;
    let (once, _) = subjects(&world).await?;
    world.smartlead(&peer).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(world.audit.clone()));
    store.claim(&once.ctx, &claim_of(&once, "alive")?).await?;

    let suspended = format!(
        "UPDATE tenancy.tenants SET status = 'suspended_blocked' WHERE id = '{}'",
        tenants[1].tenant()
    );
    world.superuser(&suspended).await?;
    let sweep = reconciler(&world);
    assert_eq!(sweep.run(1).await?.ended, 1, "the limit holds");
    let (a, b) = tokio::join!(sweep.run(100), sweep.run(100));
    assert_eq!(a?.ended + b?.ended, 1, "the other of the active tenant");
    world
        .superuser("UPDATE tenancy.tenants SET status = 'active'")
        .await?;
    let done = sweep.run(100).await?;
    assert_eq!((done.ended, done.failed.len()), (2, 0));
    assert_eq!(sweep.run(100).await?.ended, 0);

    let entries = lost(&world);
    assert_eq!(entries.len(), 4);
    for ctx in &tenants {
        let of = |state: &str| {
            let mine = entries.iter().filter(|entry| entry.tenant == ctx.tenant());
            mine.filter(|entry| entry.event.meta["state"] == state)
                .count()
        };
        assert_eq!((of("unknown"), of("retryable")), (1, 1));
    }
    let by_service = |entry: &Recorded| matches!(entry.principal.actor, Actor::Service { .. });
    assert!(entries.iter().all(by_service));
    let alive = claim_of(&once, "alive")?;
    let found = store.find(&once.ctx, once.tool, &alive.key).await?;
    assert_eq!(
        found.map(|call| call.state),
        Some(InvocationState::Dispatched)
    );

    // What may be repeated goes on under its key.
    let done = router
        .invoke_mcp_tool(
            &tenants[0],
            "smartlead.update_lead",
            lead(1),
            quick("often"),
        )
        .await?;
    assert_eq!(done.attempts, 2);
    Ok(())
}

#[tokio::test]
async fn a_claim_and_a_resolution_record_the_lost_try_they_come_upon() -> Result {
    let world = World::new().await?;
    let (once, often) = subjects(&world).await?;
    let audit = Arc::new(world.audit.clone());
    let stores: [Arc<dyn InvocationStore>; 2] = [
        Arc::new(PgInvocations::new(world.kit.app.clone(), audit.clone())),
        Arc::new(MemoryInvocations::new(audit)),
    ];
    for store in stores {
        let before = lost(&world).len();
        let mut claims = Vec::new();
        for (subject, key) in [(&once, "claimed"), (&often, "claimed"), (&once, "resolved")] {
            let mut claim = claim_of(subject, key)?;
            claim.lease = Duration::from_millis(1);
            store.claim(&subject.ctx, &claim).await?;
            claims.push(claim);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        for _ in 0..2 {
            assert_eq!(store.claim(&once.ctx, &claims[0]).await?, Claimed::Unknown);
        }
        claims[1].lease = Duration::from_mins(1);
        let next = store.claim(&often.ctx, &claims[1]).await?;
        assert!(
            matches!(
                next,
                Claimed::Execute {
                    fence: 2,
                    attempt: 2,
                    ..
                }
            ),
            "{next:?}"
        );
        let event = tenancy_core::Event::new("mcp.invocation.resolved");
        let settled = store
            .resolve(&once.ctx, once.tool, &claims[2].key, &result("{}"), event)
            .await?;
        assert!(settled);
        assert_eq!(store.end_lost(&once.ctx, 100).await?, 0);
        let entries = lost(&world);
        assert_eq!(entries.len() - before, 3, "{entries:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_try_that_cannot_be_recorded_is_not_ended() -> Result {
    let world = World::new().await?;
    let (once, _) = subjects(&world).await?;
    let broken = PgInvocations::new(world.kit.app.clone(), Arc::new(BrokenAudit));
    let mut claim = claim_of(&once, "k")?;
    claim.lease = Duration::ZERO;
    broken.claim(&once.ctx, &claim).await?;
    let error = broken.claim(&once.ctx, &claim).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.retry().is_retryable());
    // What failed is rolled back a moment later, and its row is left to it until then.
    until(|| async { Ok(broken.end_lost(&once.ctx, 10).await.is_err()) }).await?;
    let failing = McpReconciler::new(
        world.kit.worker.clone(),
        world.kit.app.clone(),
        Arc::new(BrokenAudit),
    );
    let expected = [(once.ctx.tenant(), "audit_down")];
    until(|| async { Ok(failing.run(10).await?.failed == expected) }).await?;
    let sweep = reconciler(&world);
    until(|| async { Ok(sweep.run(10).await?.ended == 1) }).await?;
    assert_eq!(lost(&world).len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_app_cannot_ask_which_tenants_have_lost_tries() -> Result {
    let world = World::new().await?;
    let asked = sqlx::query("SELECT tenancy.mcp_tenants_with_lost(10)")
        .execute(world.kit.app.without_tenant())
        .await;
    assert!(asked.unwrap_err().to_string().contains("permission denied"));
    // Nor does it end anybody's try without a context.
    let (once, _) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(world.audit.clone()));
    let mut claim = claim_of(&once, "k")?;
    claim.lease = Duration::ZERO;
    store.claim(&once.ctx, &claim).await?;
    let ended = sqlx::query("SELECT tenancy.mcp_end_lost(NULL, NULL, 10)")
        .fetch_all(world.kit.app.without_tenant())
        .await?;
    assert!(ended.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_hundred_tries_are_the_last_and_that_is_recorded() -> Result {
    let world = World::new().await?;
    let (_, often) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(world.audit.clone()));
    let mut claim = claim_of(&often, "k")?;
    claim.lease = Duration::ZERO;
    store.claim(&often.ctx, &claim).await?;
    world
        .superuser("UPDATE tenancy.mcp_invocations SET attempt = 100")
        .await?;
    for _ in 0..2 {
        assert_eq!(store.claim(&often.ctx, &claim).await?, Claimed::Settled);
    }
    assert_eq!(world.audit.of("mcp.invocation.given_up").len(), 1);
    assert_eq!(lost(&world).len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_late_answer_settles_a_lost_try_that_nobody_repeated() -> Result {
    let world = World::new().await?;
    let (_, often) = subjects(&world).await?;
    let audit = Arc::new(world.audit.clone());
    let stores: [Arc<dyn InvocationStore>; 2] = [
        Arc::new(PgInvocations::new(world.kit.app.clone(), audit.clone())),
        Arc::new(MemoryInvocations::new(audit)),
    ];
    for store in stores {
        let mut claim = claim_of(&often, "k")?;
        claim.lease = Duration::from_millis(1);
        store.claim(&often.ctx, &claim).await?;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(store.end_lost(&often.ctx, 10).await?, 1);
        let completion = tenancy_mcp::Completion::new(&claim, 1, result("{}"));
        let event = tenancy_core::Event::new("mcp.tool.invoked");
        store.complete(&often.ctx, &completion, event).await?;
        assert_eq!(store.claim(&often.ctx, &claim).await?, Claimed::Settled);
    }
    Ok(())
}

#[tokio::test]
async fn the_router_sees_the_same_when_the_lease_ends_while_it_waits() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = world.tenant().await?;
    let tools = [
        ("add_leads", EffectClass::Unsafe),
        ("update_lead", EffectClass::Idempotent),
    ];
    connect(&router.registry(), &ctx, SMARTLEAD, &tools).await?;
    killed(&world, &peer, &ctx, ("update_lead", &lead(1), "k")).await?;
    let done = router
        .invoke_mcp_tool(&ctx, "smartlead.update_lead", lead(1), quick("k"))
        .await?;
    assert_eq!(done.attempts, 2);
    let entries = lost(&world);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].event.meta["state"], "retryable");
    Ok(())
}
