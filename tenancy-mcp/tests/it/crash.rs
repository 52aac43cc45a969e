//! The calling process is killed with SIGKILL between claim and completion.

use std::time::Duration;

use serde_json::json;
use tenancy_mcp::{ErrorKind, RouterLimits};

use crate::common::{
    OtherProcess, Result, World, lead, local, new_leads, quick, server, smartlead_tenant, until,
};

#[tokio::test]
async fn a_killed_caller_leaves_an_unsafe_call_unknown_and_nobody_repeats_it() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    peer.fault(&json!({"mode": "hang"})).await?;
    let other = OtherProcess::call(&world, &ctx, "smartlead.add_leads", &new_leads(), "k")?;
    until(|| async { Ok(peer.calls("add_leads").await? == 1) }).await?;
    other.kill().await?;

    // Its lease still holds: it might be alive.
    let call = |deadline| {
        let options = quick("k").with_deadline(deadline);
        router.invoke_mcp_tool(&ctx, "smartlead.add_leads", new_leads(), options)
    };
    let error = call(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InFlight);
    assert!(error.retry().is_retryable());

    let error = call(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    let third = OtherProcess::call(&world, &ctx, "smartlead.add_leads", &new_leads(), "k")?;
    assert_eq!(third.answer().await?, json!({"error": "outcome_unknown"}));
    assert_eq!(peer.calls("add_leads").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_killed_caller_of_an_idempotent_tool_is_followed_after_its_lease() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    peer.fault(&json!({"mode": "hang"})).await?;
    let other = OtherProcess::call(&world, &ctx, "smartlead.update_lead", &lead(1), "k")?;
    until(|| async { Ok(peer.calls("update_lead").await? == 1) }).await?;
    other.kill().await?;

    let done = router
        .invoke_mcp_tool(&ctx, "smartlead.update_lead", lead(1), quick("k"))
        .await?;
    assert_eq!((done.attempts, done.replayed), (2, false));
    assert_eq!(peer.calls("update_lead").await?, 2);
    let again = OtherProcess::call(&world, &ctx, "smartlead.update_lead", &lead(1), "k")?;
    assert_eq!(again.answer().await?["text"], done.text);
    assert_eq!(peer.calls("update_lead").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_lose_the_outcome() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    for n in 0..60 {
        let key = format!("k{n}");
        let call = || router.invoke_mcp_tool(&ctx, "smartlead.add_leads", new_leads(), quick(&key));
        // Cut at any place on the way, before the claim, within it, and after it.
        let cut = tokio::time::timeout(Duration::from_micros(n * 400), call()).await;
        let done = call().await?;
        assert!(!done.is_error, "{cut:?}");
    }
    assert_eq!(peer.calls("add_leads").await?, 60);
    Ok(())
}

/// The planted fault: without the lease and the fence a second process calls as well.
#[tokio::test]
async fn without_the_fence_the_effect_happens_twice() -> Result {
    let (world, peer) = (World::new().await?, server().await?);
    world.smartlead(&peer).await?;
    let router = world.router(local()?, RouterLimits::default())?;
    let ctx = smartlead_tenant(&world, &router).await?;
    world
        .rewrite("mcp_claim", "THEN 'in_flight'", "THEN 'execute'")
        .await?;
    peer.fault(&json!({"mode": "hang"})).await?;
    let _first = OtherProcess::call(&world, &ctx, "smartlead.add_leads", &new_leads(), "k")?;
    until(|| async { Ok(peer.calls("add_leads").await? == 1) }).await?;
    router
        .invoke_mcp_tool(&ctx, "smartlead.add_leads", new_leads(), quick("k"))
        .await?;
    assert_eq!(
        peer.calls("add_leads").await?,
        2,
        "the planted fault must show"
    );
    Ok(())
}
