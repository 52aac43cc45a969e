//! What a suspension stops, what it does not, and that all goes on afterwards.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use tenancy_core::{
    Access, CredentialSource as _, ErrorKind as CoreKind, NoRoles, Suspension, TenantCtx,
    TenantStatus, Tenants,
    testing::{FakeAuthorizer, MemoryAudit},
};
use tenancy_secrets::{
    ConnectionStatus, Error, OAuthHttp, OAuthRequest, OAuthResponse, StartOptions,
    testing::ScriptedHttp,
};

use crate::{
    case::{ACME, Case, broker, callback, connect, provider, tokens},
    support::{Result, World},
};

const BOTH: [(Suspension, TenantStatus, &str); 2] = [
    (
        Suspension::ReadOnly,
        TenantStatus::SuspendedReadOnly,
        "tenant_read_only",
    ),
    (
        Suspension::Blocked,
        TenantStatus::SuspendedBlocked,
        "tenant_suspended",
    ),
];

fn tenants(world: &World) -> Tenants {
    Tenants::new(
        world.db.app.clone(),
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(NoRoles::new()),
        Arc::new(MemoryAudit::new()),
    )
}

const EXPIRED: &str = "access_expires_at = now() - interval '1 s'";

#[tokio::test]
async fn no_token_is_renewed_for_a_suspended_tenant_and_the_grant_goes_on_afterwards() -> Result {
    for (how, from, code) in BOTH {
        let case = Case::new().await?;
        case.set(EXPIRED).await?;
        tenants(&case.world).suspend(&case.world.a, how).await?;
        // A context from before the suspension does not help.
        for outcome in [case.current().await, case.renew().await] {
            let error = outcome.unwrap_err();
            assert_eq!((error.kind(), error.code()), (CoreKind::Suspended, code));
            assert!(!error.retry().is_retryable());
        }
        assert_eq!(case.calls(), 0, "the provider was not asked");
        tenants(&case.world).resume(&case.world.a, from).await?;
        assert_eq!(case.status().await?, (ConnectionStatus::Connected, None));
        case.http.answer(200, tokens(2));
        assert_eq!(case.current().await?, "access-2", "at once, without a wait");
    }
    Ok(())
}

#[tokio::test]
async fn the_database_itself_gives_no_lease_for_a_suspended_tenant() -> Result {
    let case = Case::new().await?;
    let claim = include_str!("../../src/postgres/sql/connection_claim.sql");
    let claimed = async |case: &Case| -> Result<bool> {
        let mut tx = case.world.db.app.write(&case.world.a).await?;
        let row = sqlx::query(claim)
            .bind(case.world.a.tenant())
            .bind(case.id)
            .bind(uuid::Uuid::now_v7())
            .bind(1_i64)
            .bind(60_f64)
            .fetch_optional(&mut *tx)
            .await?;
        Ok(row.is_some())
    };
    assert!(claimed(&case).await?, "rolled back");
    let tenants = tenants(&case.world);
    tenants.suspend(&case.world.a, Suspension::ReadOnly).await?;
    assert!(!claimed(&case).await?);
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_can_only_be_read_uses_the_token_that_lives_and_a_blocked_one_none() -> Result
{
    let case = Case::new().await?;
    let tenants = tenants(&case.world);
    // Due to be renewed ahead of time: nobody does.
    case.set("access_obtained_at = now() - interval '55 min', access_expires_at = now() + interval '5 min'")
        .await?;
    tenants.suspend(&case.world.a, Suspension::ReadOnly).await?;
    let user = case.world.a.user().ok_or("no user")?;
    let reader = case.world.db.app.enter(case.world.a.tenant(), user).await?;
    assert_eq!(reader.access(), Access::ReadOnly);
    let given = case.broker.credential(&reader, case.id.into()).await?;
    assert_eq!(given.secret.expose(), "access-1");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(case.calls(), 0);
    tenants
        .resume(&case.world.a, TenantStatus::SuspendedReadOnly)
        .await?;
    tenants.suspend(&case.world.a, Suspension::Blocked).await?;
    assert_eq!(case.current().await.unwrap_err().code(), "tenant_suspended");
    Ok(())
}

/// Suspends the tenant while the provider works on a token call.
struct Meanwhile {
    http: ScriptedHttp,
    suspend: Arc<Mutex<Option<(Tenants, TenantCtx)>>>,
}

#[async_trait]
impl OAuthHttp for Meanwhile {
    async fn send(&self, request: OAuthRequest) -> std::result::Result<OAuthResponse, Error> {
        let suspend = self.suspend.lock().unwrap().take();
        if let Some((tenants, ctx)) = suspend {
            tenants.suspend(&ctx, Suspension::Blocked).await.unwrap();
        }
        self.http.send(request).await
    }
}

#[tokio::test]
async fn a_token_that_was_rotated_while_the_tenant_was_suspended_is_kept() -> Result {
    let (world, http, suspend) = (World::new().await?, ScriptedHttp::new(), Arc::default());
    let meanwhile = Meanwhile {
        http: http.clone(),
        suspend: Arc::clone(&suspend),
    };
    let broker = broker(&world, meanwhile, provider())?;
    let id = connect(&http, &broker, &world.a).await?;
    *suspend.lock().unwrap() = Some((tenants(&world), world.a.clone()));
    http.answer(200, tokens(2));
    let late = broker.renewed(&world.a, id.into(), 1).await?;
    assert_eq!(late.secret.expose(), "access-2");
    tenants(&world)
        .resume(&world.a, TenantStatus::SuspendedBlocked)
        .await?;
    let now = broker.credential(&world.a, id.into()).await?;
    assert_eq!((now.secret.expose(), now.generation), ("access-2", 2));
    http.answer(200, tokens(3));
    broker.renewed(&world.a, id.into(), 2).await?;
    let asked = http.asked();
    let (_, last) = asked.last().ok_or("nothing was asked")?;
    assert!(last.contains("refresh-2"), "the rotated one: {last}");
    Ok(())
}

#[tokio::test]
async fn a_sign_in_that_ends_in_a_suspended_tenant_exchanges_no_code() -> Result {
    for (how, _, code) in BOTH {
        let case = Case::new().await?;
        let started = case
            .broker
            .start(&case.world.a, &ACME, &StartOptions::default())
            .await?;
        tenants(&case.world).suspend(&case.world.a, how).await?;
        case.http.answer(200, json!({}));
        let request = callback(&case.world.a, started)?;
        let error = case.broker.finish(request).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(tenancy_core::Error::from(error).kind(), CoreKind::Suspended);
        assert_eq!(case.calls(), 0);
    }
    Ok(())
}
