//! What a refresh makes of every answer, with a provider that says what the test says.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use tenancy_core::{CredentialSource as _, Retry};
use tenancy_secrets::{
    ConnectionStatus, Error, LocalKeyring, OAuthHttp, OAuthRequest, OAuthResponse, RotateOptions,
    Rotation, StartOptions, testing::ScriptedHttp,
};
use tokio::sync::Semaphore;

use crate::{
    case::{ACME, Case, broker, callback, provider, tokens},
    support::Result,
};

#[tokio::test]
async fn a_dead_grant_needs_a_person_at_the_first_answer() -> Result {
    let case = Case::new().await?;
    case.http.answer(
        400,
        json!({"error": "invalid_grant", "error_description": "secret text"}),
    );
    assert_eq!(case.renew().await.unwrap_err().code(), "needs_reauth");
    assert_eq!(
        case.status().await?,
        (ConnectionStatus::NeedsReauth, Some("invalid_grant".into()))
    );
    assert_eq!(case.renew().await.unwrap_err().code(), "needs_reauth");
    assert_eq!(case.current().await.unwrap_err().code(), "needs_reauth");
    assert_eq!(case.calls(), 1, "nobody asks again");
    let events = case.world.audit.of("oauth.needs_reauth");
    assert_eq!(events.len(), 1);
    assert!(!format!("{events:?}").contains("secret text"));
    Ok(())
}

#[tokio::test]
async fn no_other_answer_ends_a_grant() -> Result {
    for (status, body) in [
        (500, "invalid_grant".to_owned()),
        (503, json!({"error": "invalid_grant"}).to_string()),
        (429, json!({"error": "invalid_grant"}).to_string()),
        (502, "<html>".to_owned()),
        (400, "<html>".to_owned()),
        (401, json!({"error": "invalid_client"}).to_string()),
        (400, json!({"error": "invalid_scope"}).to_string()),
        (200, json!({"no": "token"}).to_string()),
        (200, "null".to_owned()),
        (302, String::new()),
    ] {
        let case = Case::new().await?;
        case.http.answer(status, &body);
        let error = case.renew().await.unwrap_err();
        assert_ne!(error.code(), "needs_reauth", "{status} {body}");
        assert_eq!(
            case.status().await?.0,
            ConnectionStatus::Connected,
            "{status} {body}"
        );
        assert_eq!(
            case.current().await?,
            "access-1",
            "what lives is still good"
        );
        // Not asked again before its time.
        let second = case.renew().await.unwrap_err();
        assert!(matches!(second.retry(), Retry::After(_)), "{second:?}");
        assert_eq!(case.calls(), 1);
        assert_eq!(case.world.audit.of("oauth.refresh_failed").len(), 1);

        case.set("retry_at = now()").await?;
        case.http.answer(200, tokens(2));
        assert_eq!(case.renew().await?, "access-2", "{status} {body}");
        assert_eq!(case.world.audit.of("oauth.refresh_recovered").len(), 1);
        assert_eq!(case.status().await?, (ConnectionStatus::Connected, None));
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_decided_by_the_next_one() -> Result {
    for seen in [true, false] {
        let case = Case::new().await?;
        case.http.no_answer(seen);
        assert!(case.renew().await.unwrap_err().retry().is_retryable());
        case.set("retry_at = now()").await?;
        case.http.answer(400, json!({"error": "invalid_grant"}));
        assert_eq!(case.renew().await.unwrap_err().code(), "needs_reauth");
        let reason = if seen {
            "lost_rotation"
        } else {
            "invalid_grant"
        };
        assert_eq!(case.status().await?.1.as_deref(), Some(reason));

        let case = Case::new().await?;
        case.http.no_answer(seen);
        assert!(case.renew().await.is_err());
        case.set("retry_at = now()").await?;
        case.http.answer(200, tokens(2));
        assert_eq!(case.renew().await?, "access-2");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_lives_is_given_out_without_waiting_and_renewed_behind() -> Result {
    let case = Case::new().await?;
    assert_eq!(case.current().await?, "access-1");
    assert_eq!(case.calls(), 0, "a fresh token is not renewed");
    case.set("access_obtained_at = now() - interval '55 minutes', access_expires_at = now() + interval '5 minutes'").await?;
    case.http.answer(200, tokens(2));
    assert_eq!(case.current().await?, "access-1");
    for _ in 0..50 {
        if case.broker.get(&case.world.a, case.id).await?.generation == 2 {
            assert_eq!(case.current().await?, "access-2");
            assert_eq!(case.calls(), 1);
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it was not renewed");
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_first_and_without_a_refresh_token_needs_a_person()
-> Result {
    let case = Case::new().await?;
    case.set("access_expires_at = now()").await?;
    case.http.answer(200, tokens(2));
    assert_eq!(case.current().await?, "access-2");
    let (_, sent) = &case.http.asked()[2];
    assert!(
        sent.contains("grant_type=refresh_token") && sent.contains("refresh_token=refresh-1"),
        "{sent}"
    );

    sqlx::raw_sql("DELETE FROM tenancy.integration_secrets WHERE field = 'refresh_token'")
        .execute(&case.world.db.superuser().await?)
        .await?;
    assert_eq!(case.current().await?, "access-2");
    assert_eq!(
        case.broker
            .renewed(&case.world.a, case.id.into(), 2)
            .await?
            .secret
            .expose(),
        "access-2"
    );
    case.set("access_expires_at = now()").await?;
    assert_eq!(case.current().await.unwrap_err().code(), "needs_reauth");
    Ok(())
}

#[tokio::test]
async fn an_answer_without_a_refresh_token_keeps_the_old_one() -> Result {
    let case = Case::new().await?;
    case.http.answer(
        200,
        json!({"access_token": "access-2", "token_type": "bearer"}),
    );
    assert_eq!(case.renew().await?, "access-2");
    assert_eq!(
        case.broker.get(&case.world.a, case.id).await?.expires_at,
        None
    );
    case.http.answer(200, tokens(3));
    let third = case
        .broker
        .renewed(&case.world.a, case.id.into(), 2)
        .await?;
    assert_eq!(third.secret.expose(), "access-3");
    assert!(case.http.asked()[3].1.contains("refresh_token=refresh-1"));
    Ok(())
}

#[tokio::test]
async fn tokens_move_to_a_new_key_like_every_secret() -> Result {
    let case = Case::new().await?;
    let keyring = LocalKeyring::parse(&case.world.entry)?;
    let rotation = Rotation::new(case.world.db.worker.clone(), keyring);
    let options = RotateOptions::default().with_grace(Duration::ZERO);
    assert_eq!(rotation.rotate_all(&options, |_| ()).await?.rows, 2);
    assert_eq!(case.current().await?, "access-1");
    // This process still holds the old key for the one that seals.
    case.http.answer(200, tokens(2));
    assert_eq!(case.renew().await?, "access-2");
    assert_eq!(case.current().await?, "access-2");
    Ok(())
}

#[tokio::test]
async fn a_key_with_a_sign_in_under_way_is_not_destroyed() -> Result {
    let case = Case::new().await?;
    let started = case
        .broker
        .start(&case.world.a, &ACME, &StartOptions::default())
        .await?;
    let keyring = LocalKeyring::parse(&case.world.entry)?;
    let rotation = Rotation::new(case.world.db.worker.clone(), keyring);
    let options = RotateOptions::default().with_grace(Duration::ZERO);
    assert_eq!(rotation.rotate_all(&options, |_| ()).await?.destroyed, 0);
    case.http.answer(200, tokens(2));
    case.http.answer(200, json!({"sub": "account"}));
    let request = callback(&case.world.a, started)?;
    assert_eq!(case.broker.finish(request).await?.connection, case.id);
    assert_eq!(rotation.destroy_retired(Duration::ZERO).await?, 1);
    assert_eq!(case.current().await?, "access-2");
    Ok(())
}

/// Holds every request back until it is let through.
struct Gated {
    inner: ScriptedHttp,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl OAuthHttp for Gated {
    async fn send(&self, request: OAuthRequest) -> std::result::Result<OAuthResponse, Error> {
        let answer = self.inner.send(request).await;
        self.gate
            .acquire()
            .await
            .expect("the gate is never closed")
            .forget();
        answer
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_loses_no_token() -> Result {
    let case = Case::new().await?;
    let gate = Arc::new(Semaphore::new(0));
    let gated = broker(
        &case.world,
        Gated {
            inner: case.http.clone(),
            gate: gate.clone(),
        },
        provider(),
    )?;
    case.http.answer(200, tokens(2));
    let impatient = tokio::time::timeout(
        Duration::from_millis(300),
        gated.renewed(&case.world.a, case.id.into(), 1),
    );
    assert!(impatient.await.is_err());
    gate.add_permits(1);
    // Waits in line behind the refresh that nobody waits for any more.
    let renewed = gated.renewed(&case.world.a, case.id.into(), 1).await?;
    assert_eq!((renewed.secret.expose(), case.calls()), ("access-2", 1));
    Ok(())
}

/// A refresh whose lease ran out while its answer was on the way; another one passes it.
async fn overtaken(case: &Case) -> Result<(Option<&'static str>, String)> {
    let gate = Arc::new(Semaphore::new(0));
    let slow = broker(
        &case.world,
        Gated {
            inner: case.http.clone(),
            gate: gate.clone(),
        },
        provider(),
    )?;
    case.http.answer(200, tokens(2));
    let (ctx, id) = (case.world.a.clone(), case.id);
    let first = tokio::spawn(async move { slow.renewed(&ctx, id.into(), 1).await });
    while case.calls() < 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    case.set("lease_until = now()").await?;
    case.http.answer(200, tokens(3));
    assert_eq!(case.renew().await?, "access-3");
    gate.add_permits(2);
    let late = first.await?.err().map(|error| error.code());
    let sealed = case.broker.credential(&case.world.a, case.id.into()).await;
    Ok((
        late,
        sealed.map_or_else(
            |error| error.code().to_owned(),
            |token| token.secret.expose().to_owned(),
        ),
    ))
}

#[tokio::test]
async fn who_lost_the_lease_commits_nothing_and_fence_and_generation_are_why() -> Result {
    let case = Case::new().await?;
    let (late, token) = overtaken(&case).await?;
    assert_eq!(
        (late, token.as_str()),
        (Some("refresh_overtaken"), "access-3")
    );

    // The planted fault: a commit that compares nothing.
    let case = Case::new().await?;
    let superuser = case.world.db.superuser().await?;
    let sql = "SELECT pg_get_functiondef('tenancy.commit_oauth_refresh'::regproc)";
    let function: String = sqlx::query_scalar(sql).fetch_one(&superuser).await?;
    let careless = function.replace("AND fence = p_fence AND generation = p_generation", "");
    assert_ne!(function, careless);
    sqlx::raw_sql(sqlx::AssertSqlSafe(careless))
        .execute(&superuser)
        .await?;
    let (late, token) = overtaken(&case).await?;
    assert_eq!(
        (late, token.as_str()),
        (None, "access-2"),
        "the newer token was overwritten"
    );
    Ok(())
}
