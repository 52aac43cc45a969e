//! Tokens that are taken back although the provider was down.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use tenancy_core::{
    NoRoles, Suspension, TenantStatus, Tenants,
    testing::{FakeAuthorizer, MemoryAudit},
};
use tenancy_secrets::{
    ConnectionStatus, DisconnectOutcome, Error, LocalKeyring, OAuthHttp, OAuthRequest,
    OAuthResponse, Provider, RevokedScope, RotateOptions, Rotation,
};

use crate::{
    case::{Case, broker, connect, provider},
    support::Result,
};

fn of_grants() -> Provider {
    let mut provider = provider();
    if let Some(revocation) = &mut provider.revocation {
        revocation.scope = RevokedScope::Grant;
    }
    provider
}

impl Case {
    async fn left(&self) -> Result<(i64, i64)> {
        let counts = "SELECT (SELECT count(*) FROM tenancy.integration_secrets),
            (SELECT count(*) FROM tenancy.oauth_revocations)";
        Ok(sqlx::query_as(counts)
            .fetch_one(&self.world.db.superuser().await?)
            .await?)
    }

    async fn later(&self, change: &'static str) -> Result {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE tenancy.oauth_revocations SET {change}"
        )))
        .execute(&self.world.db.superuser().await?)
        .await?;
        Ok(())
    }

    /// Ended, failed, pending.
    async fn sweep(&self) -> Result<(u64, u64, u64)> {
        let swept = self.broker.sweep_revocations(&self.world.db.worker).await?;
        Ok((swept.ended, swept.failed, swept.pending))
    }

    async fn disconnect(&self) -> Result<DisconnectOutcome> {
        Ok(self.broker.disconnect(&self.world.a, self.id).await?)
    }

    async fn reason(&self) -> Result<String> {
        Ok(self.status().await?.1.unwrap_or_default())
    }
}

const DUE: &str = "due_at = now()";

#[tokio::test]
async fn a_provider_that_is_down_is_asked_again_until_it_takes_the_token_back() -> Result {
    let case = Case::new().await?;
    case.http.no_answer(true);
    assert_eq!(
        case.disconnect().await?,
        DisconnectOutcome::RevocationPending
    );
    assert_eq!(
        case.left().await?,
        (0, 1),
        "one sealed token, and no connection has it"
    );
    assert_eq!(case.status().await?.0, ConnectionStatus::Disconnected);
    assert!(case.current().await.is_err());
    assert_eq!(case.sweep().await?, (0, 0, 0), "not before its time");

    case.later(DUE).await?;
    case.http.answer(503, "");
    assert_eq!(case.sweep().await?, (0, 0, 1));
    assert_eq!(case.reason().await?, "revocation_pending");
    case.later(DUE).await?;
    case.http.answer(200, "");
    assert_eq!(case.sweep().await?, (1, 0, 0));
    assert_eq!(
        (case.left().await?, case.reason().await?),
        ((0, 0), "revoked".to_owned())
    );
    let asked = case.http.asked();
    let revoked = asked
        .iter()
        .filter(|(url, body)| url.ends_with("/revoke") && body.contains("token=refresh-1"));
    assert_eq!(revoked.count(), 3);
    let ended = case.world.audit.of("oauth.revocation_ended");
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].event.meta["revocation"], "revoked");
    Ok(())
}

/// A provider that never answers.
struct Never;

#[async_trait]
impl OAuthHttp for Never {
    async fn send(&self, _: OAuthRequest) -> std::result::Result<OAuthResponse, Error> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_disconnect_whose_process_died_before_the_provider_was_asked_is_ended_by_another()
-> Result {
    let case = Case::new().await?;
    let dying = broker(&case.world, Never, provider())?;
    let died = tokio::time::timeout(
        Duration::from_millis(300),
        dying.disconnect(&case.world.a, case.id),
    );
    assert!(died.await.is_err());
    assert_eq!(case.left().await?, (0, 1));
    assert_eq!(case.sweep().await?, (0, 0, 0), "its lease still holds");
    case.later(DUE).await?;
    case.http.answer(200, "");
    assert_eq!(case.sweep().await?, (1, 0, 0));
    Ok(())
}

#[tokio::test]
async fn two_sweeps_at_once_ask_once() -> Result {
    let case = Case::new().await?;
    case.http.answer(503, "");
    case.disconnect().await?;
    case.later(DUE).await?;
    let claim = "SELECT count(*) FROM tenancy.due_oauth_revocations(10, '1 min')";
    for given in [1, 0] {
        let claimed: i64 = sqlx::query_scalar(claim)
            .fetch_one(case.world.db.worker.pool())
            .await?;
        assert_eq!(claimed, given, "nobody else while the lease holds");
    }
    case.later(DUE).await?;
    case.http.answer(200, "");
    let (one, two) = tokio::join!(case.sweep(), case.sweep());
    let (one, two) = (one?, two?);
    assert_eq!(one.0 + two.0, 1, "{one:?} {two:?}");
    assert_eq!(case.calls(), 2);
    Ok(())
}

#[tokio::test]
async fn it_is_given_up_within_bounds_and_then_nothing_is_left() -> Result {
    for change in [
        "due_at = now(), attempts = 12",
        "due_at = now(), created_at = now() - interval '8 days'",
    ] {
        let case = Case::new().await?;
        case.http.answer(500, "");
        case.disconnect().await?;
        case.later(change).await?;
        case.http.answer(500, "");
        assert_eq!(case.sweep().await?, (0, 1, 0));
        assert_eq!(
            (case.left().await?, case.reason().await?),
            ((0, 0), "revocation_failed".to_owned())
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_dead_already_counts_as_taken_back() -> Result {
    let case = Case::new().await?;
    case.http.answer(400, json!({"error": "invalid_token"}));
    assert_eq!(case.disconnect().await?, DisconnectOutcome::Revoked);
    let case = Case::new().await?;
    case.http.answer(400, json!({"error": "invalid_client"}));
    assert_eq!(
        case.disconnect().await?,
        DisconnectOutcome::RevocationPending
    );
    Ok(())
}

#[tokio::test]
async fn a_grant_that_was_connected_again_meanwhile_is_left_alone_and_a_token_is_not() -> Result {
    for (provider, asked) in [(of_grants(), 0), (provider(), 1)] {
        let case = Case::with(provider).await?;
        case.http.answer(503, "");
        case.disconnect().await?;
        assert_eq!(
            connect(&case.http, &case.broker, &case.world.a).await?,
            case.id
        );
        let before = case.http.asked().len();
        case.later(DUE).await?;
        case.http.answer(200, "");
        assert_eq!(case.sweep().await?, (1, 0, 0));
        assert_eq!(case.http.asked().len() - before, asked);
        assert_eq!(case.status().await?, (ConnectionStatus::Connected, None));
        assert_eq!(case.current().await?, "access-1");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_is_not_destroyed_while_a_token_under_it_is_to_be_taken_back() -> Result {
    let case = Case::new().await?;
    case.http.answer(503, "");
    case.disconnect().await?;
    let rotation = Rotation::new(
        case.world.db.worker.clone(),
        LocalKeyring::parse(&case.world.entry)?,
    );
    let options = RotateOptions::default().with_grace(Duration::ZERO);
    assert_eq!(rotation.rotate_all(&options, |_| {}).await?.destroyed, 0);
    case.later(DUE).await?;
    case.http.answer(200, "");
    assert_eq!(
        case.sweep().await?,
        (1, 0, 0),
        "it opens after the rotation"
    );
    assert_eq!(rotation.destroy_retired(Duration::ZERO).await?, 1);
    Ok(())
}

#[tokio::test]
async fn tokens_are_taken_back_for_a_tenant_that_can_be_read_and_wait_for_one_that_is_blocked()
-> Result {
    let case = Case::new().await?;
    case.http.answer(503, "");
    case.disconnect().await?;
    let tenants = Tenants::new(
        case.world.db.app.clone(),
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(NoRoles::new()),
        Arc::new(MemoryAudit::new()),
    );
    case.later(DUE).await?;
    tenants.suspend(&case.world.a, Suspension::Blocked).await?;
    assert_eq!(case.sweep().await?, (0, 0, 0));
    tenants
        .resume(&case.world.a, TenantStatus::SuspendedBlocked)
        .await?;
    tenants.suspend(&case.world.a, Suspension::ReadOnly).await?;
    case.http.answer(200, "");
    assert_eq!(case.sweep().await?, (1, 0, 0));
    Ok(())
}

#[tokio::test]
async fn another_tenant_sees_no_token_that_is_to_be_taken_back() -> Result {
    let case = Case::new().await?;
    case.http.answer(503, "");
    case.disconnect().await?;
    for (ctx, rows) in [(&case.world.a, 1), (&case.world.b, 0)] {
        let mut tx = case.world.db.app.read(ctx).await?;
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.oauth_revocations")
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(seen, rows);
    }
    let row: String = sqlx::query_scalar("SELECT r::text FROM tenancy.oauth_revocations r")
        .fetch_one(&case.world.db.superuser().await?)
        .await?;
    assert!(!row.contains("refresh-1"), "{row}");
    let mut tx = case.world.db.app.read(&case.world.a).await?;
    let claim = sqlx::query("SELECT * FROM tenancy.due_oauth_revocations(1, '1 min')");
    assert!(claim.execute(&mut *tx).await.is_err());
    Ok(())
}
