//! A suspended tenant calls nothing, whichever context is held, and goes on when it is resumed.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tenancy_core::{Error as CoreError, ErrorKind as CoreKind, TenantCtx};
use tenancy_mcp::{
    CallFault, Claimed, EffectClass, ErrorKind, FaultKind, InvocationStore, InvokeOptions,
    NewConnection, PgInvocations, Provider, RouterLimits, ToolDefinition, ToolRouter,
    testing::{FakeAnswer, FakeTransport},
};

use crate::{
    common::{SMARTLEAD, World, connect, quick},
    record::{claim_of, subjects},
};

async fn status(world: &World, ctx: &TenantCtx, status: &str) -> crate::common::Result {
    let tenant = ctx.tenant();
    let sql = format!("UPDATE tenancy.tenants SET status = '{status}' WHERE id = '{tenant}'");
    world.superuser(&sql).await
}

struct Stage {
    world: World,
    fake: FakeTransport,
    router: ToolRouter,
    ctx: TenantCtx,
    other: TenantCtx,
}

const TOOLS: [(&str, EffectClass); 2] = [("look", EffectClass::Read), ("do", EffectClass::Unsafe)];

async fn stage() -> Result<Stage> {
    let world = World::new().await?;
    let provider = Provider::http(SMARTLEAD, "Fake", "https://fake.example/mcp")?;
    world.catalog(&[provider]).await?;
    let offered = TOOLS.map(|(name, _)| ToolDefinition::new(name, json!({"type": "object"})));
    let fake = FakeTransport::offering(offered.to_vec());
    let router = world.router(Arc::new(fake.clone()), RouterLimits::default())?;
    let (ctx, other) = (world.tenant().await?, world.tenant().await?);
    for ctx in [&ctx, &other] {
        connect(&router.registry(), ctx, SMARTLEAD, &TOOLS).await?;
    }
    Ok(Stage {
        world,
        fake,
        router,
        ctx,
        other,
    })
}

impl Stage {
    async fn call(
        &self,
        ctx: &TenantCtx,
        tool: &str,
        key: Option<&str>,
    ) -> Result<(), tenancy_mcp::Error> {
        let options = key.map_or_else(InvokeOptions::default, quick);
        let call = self
            .router
            .invoke_mcp_tool(ctx, tool, json!({"n": 1}), options);
        call.await.map(|_| ())
    }
}

type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::test]
async fn a_suspended_tenant_calls_nothing_until_it_is_resumed() -> Result {
    let stage = stage().await?;
    stage
        .call(&stage.ctx, "smartlead.do", Some("before"))
        .await?;
    for how in ["suspended_read_only", "suspended_blocked"] {
        status(&stage.world, &stage.ctx, how).await?;
        let done = stage.fake.done().len();
        let connects = stage.fake.connects();
        // One who came in before, and where it is open for reading, one who comes in now.
        let user = stage.ctx.user().ok_or("no user")?;
        let now = stage.world.kit.app.enter(stage.ctx.tenant(), user).await;
        assert_eq!(now.is_ok(), how == "suspended_read_only");
        for ctx in [Some(stage.ctx.clone()), now.ok()].into_iter().flatten() {
            for (tool, key) in [
                ("smartlead.look", None),
                ("smartlead.look", Some("read")),
                ("smartlead.do", Some("new")),
                ("smartlead.do", Some("before")),
            ] {
                let error = stage.call(&ctx, tool, key).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Suspended, "{how} {tool} {key:?}");
                assert!(!error.retry().is_retryable());
                assert_eq!(CoreError::from(error).kind(), CoreKind::Suspended);
            }
            let new = NewConnection::new(SMARTLEAD).with_key("second".parse()?);
            let error = stage
                .router
                .registry()
                .connect(&ctx, new)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Suspended, "{how}");
        }
        assert_eq!(stage.fake.done().len(), done, "{how}: nothing was called");
        assert_eq!(stage.fake.connects(), connects, "{how}: nobody connected");
        stage.call(&stage.other, "smartlead.look", None).await?;

        status(&stage.world, &stage.ctx, "active").await?;
        stage.call(&stage.ctx, "smartlead.look", None).await?;
        stage
            .call(&stage.ctx, "smartlead.do", Some("before"))
            .await?;
        stage.call(&stage.ctx, "smartlead.do", Some(how)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_claim_itself_refuses_a_suspended_tenant() -> Result {
    let world = World::new().await?;
    let (once, _) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(world.audit.clone()));
    status(&world, &once.ctx, "suspended_read_only").await?;
    let claim = claim_of(&once, "k")?;
    assert_eq!(store.claim(&once.ctx, &claim).await?, Claimed::Suspended);
    assert!(
        store
            .find(&once.ctx, once.tool, &claim.key)
            .await?
            .is_none()
    );
    status(&world, &once.ctx, "active").await?;
    assert!(matches!(
        store.claim(&once.ctx, &claim).await?,
        Claimed::Execute { .. }
    ));
    Ok(())
}

#[tokio::test]
async fn a_call_without_a_key_is_not_tried_again_for_a_tenant_that_was_suspended_meanwhile()
-> Result {
    let stage = stage().await?;
    let cut = CallFault::maybe_sent(FaultKind::Closed, "cut");
    let later = cut.with_retry_after(Some(Duration::from_secs(1)));
    stage.fake.next(FakeAnswer::Fault(later));
    let options = InvokeOptions::default();
    let call = stage
        .router
        .invoke_mcp_tool(&stage.ctx, "smartlead.look", json!({}), options);
    let suspend = async {
        crate::common::until(|| async { Ok(stage.world.audit.of("mcp.tool.invoked").len() == 1) })
            .await?;
        status(&stage.world, &stage.ctx, "suspended_read_only").await
    };
    let (outcome, suspended) = tokio::join!(call, suspend);
    suspended?;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Suspended);
    assert!(stage.fake.done().is_empty());
    Ok(())
}
