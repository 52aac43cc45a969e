//! How a connection begins and ends.

use std::fmt::Write as _;

use serde_json::json;
use tenancy_core::CredentialSource as _;
use tenancy_secrets::{
    ConnectionId, ConnectionStatus, DisconnectOutcome, Provider, ProviderKey, RevokedScope,
    StartOptions,
};

use crate::{
    case::{ACME, Case, callback, connect, provider, tokens},
    support::Result,
};

/// A provider that takes back everything an account granted, whichever token it is sent.
fn of_grants() -> Provider {
    let mut provider = provider();
    if let Some(revocation) = &mut provider.revocation {
        revocation.scope = RevokedScope::Grant;
    }
    provider
}

#[tokio::test]
async fn disconnecting_wipes_whatever_the_provider_says() -> Result {
    for (status, outcome) in [
        (200, DisconnectOutcome::Revoked),
        (500, DisconnectOutcome::RevocationPending),
    ] {
        let case = Case::new().await?;
        case.http.answer(status, "");
        assert_eq!(
            case.broker.disconnect(&case.world.a, case.id).await?,
            outcome
        );
        assert!(case.http.asked()[2].1.contains("token=refresh-1"));
        assert_eq!(
            case.status().await?,
            (
                ConnectionStatus::Disconnected,
                Some(outcome.as_str().into())
            )
        );
        let left = "SELECT count(*) FROM tenancy.integration_secrets";
        let left: i64 = sqlx::query_scalar(left)
            .fetch_one(&case.world.db.superuser().await?)
            .await?;
        assert_eq!(left, 0);
        assert_eq!(
            case.broker.disconnect(&case.world.a, case.id).await?,
            DisconnectOutcome::Unsupported
        );
        assert_eq!(case.calls(), 1);
        assert_eq!(
            connect(&case.http, &case.broker, &case.world.a).await?,
            case.id,
            "and it can come back"
        );
        assert_eq!(case.current().await?, "access-1");
    }
    Ok(())
}

#[tokio::test]
async fn a_grant_that_another_tenant_lives_on_is_not_revoked() -> Result {
    let case = Case::with(of_grants()).await?;
    let theirs = connect(&case.http, &case.broker, &case.world.b).await?;
    assert_eq!(
        case.broker.disconnect(&case.world.a, case.id).await?,
        DisconnectOutcome::SharedGrant
    );
    assert_eq!(
        case.http.asked().len(),
        4,
        "nothing was asked to be revoked"
    );
    case.http.answer(200, "");
    assert_eq!(
        case.broker.disconnect(&case.world.b, theirs).await?,
        DisconnectOutcome::Revoked
    );
    Ok(())
}

#[tokio::test]
async fn an_error_names_neither_a_token_nor_what_the_provider_wrote() -> Result {
    let case = Case::new().await?;
    case.http.answer(
        200,
        r#"{"access_token": "access-leak", "expires_in": {"deep": "body-leak"}, "token_type": 7}"#,
    );
    let error = case.renew().await.unwrap_err();
    let mut shown = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        write!(shown, "{cause} {cause:?}")?;
        source = cause.source();
    }
    for leak in ["access-leak", "body-leak", "refresh-1", "client-secret"] {
        assert!(!shown.contains(leak), "{shown}");
    }
    let rows = "SELECT string_agg(c::text, ' ') FROM tenancy.oauth_connections c";
    let rows: String = sqlx::query_scalar(rows)
        .fetch_one(&case.world.db.superuser().await?)
        .await?;
    assert!(!rows.contains("leak"), "{rows}");
    Ok(())
}

#[tokio::test]
async fn a_connection_can_not_be_begun_with_bad_input() -> Result {
    let case = Case::new().await?;
    let start = async |options: StartOptions| {
        let outcome = case.broker.start(&case.world.a, &ACME, &options).await;
        outcome.map(drop).map_err(|error| error.code())
    };
    let none = StartOptions::default;
    assert_eq!(
        start(none().with_return_to("https://evil.example")).await,
        Err("return_path_refused")
    );
    assert_eq!(
        start(none().with_scopes(["a b"])).await,
        Err("scope_invalid")
    );
    assert_eq!(start(none().with_scopes([""])).await, Err("scope_invalid"));
    assert_eq!(
        start(none().with_scopes(vec!["x"; 101])).await,
        Err("scope_invalid")
    );
    assert_eq!(
        start(none().with_reconnect(ConnectionId::new())).await,
        Err("connection_unknown")
    );
    let unknown = case
        .broker
        .start(&case.world.a, &ProviderKey::from_static("other"), &none())
        .await;
    assert_eq!(unknown.unwrap_err().code(), "provider_unknown");
    for _ in 0..20 {
        start(none()).await?;
    }
    assert_eq!(start(none()).await, Err("oauth_flows_limit"));
    Ok(())
}

#[tokio::test]
async fn the_browser_is_sent_with_s256_and_without_anything_secret() -> Result {
    let case = Case::new().await?;
    let started = case
        .broker
        .start(&case.world.a, &ACME, &StartOptions::default())
        .await?;
    let url = started.authorize_url.as_str();
    for part in [
        "code_challenge_method=S256",
        "response_type=code",
        "client_id=client",
        "scope=leads.read",
    ] {
        assert!(url.contains(part), "{url}");
    }
    assert!(!url.contains("client-secret") && !url.contains(started.browser_secret.expose()));
    let (_, sent) = &case.http.asked()[0];
    let verifier = sent
        .split("code_verifier=")
        .nth(1)
        .and_then(|rest| rest.split('&').next());
    assert!(
        verifier.is_some_and(|verifier| (43..=128).contains(&verifier.len())),
        "{sent}"
    );
    let rows = "SELECT string_agg(s::text, ' ') FROM tenancy.oauth_states s";
    let rows: String = sqlx::query_scalar(rows)
        .fetch_one(&case.world.db.superuser().await?)
        .await?;
    assert!(!rows.contains(started.browser_secret.expose()));
    Ok(())
}

#[tokio::test]
async fn tokens_of_the_wrong_account_are_revoked_unless_that_ends_its_other_connections() -> Result
{
    for (provider, revoked) in [(provider(), true), (of_grants(), false)] {
        let case = Case::with(provider).await?;
        let again = StartOptions::default().with_reconnect(case.id);
        let started = case.broker.start(&case.world.a, &ACME, &again).await?;
        case.http.answer(200, tokens(9));
        case.http.answer(200, json!({"sub": "somebody else"}));
        case.http.answer(200, "");
        let request = callback(&case.world.a, started)?;
        let error = case.broker.finish(request).await.unwrap_err();
        assert_eq!(error.code(), "account_mismatch");
        let sent = case.http.asked();
        let revocation = sent.iter().find(|(url, _)| url.ends_with("/revoke"));
        assert_eq!(
            revocation.is_some_and(|(_, body)| body.contains("token=refresh-9")),
            revoked
        );
        let current = case
            .broker
            .credential(&case.world.a, case.id.into())
            .await?;
        assert_eq!(current.secret.expose(), "access-1");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_who_says_no_connects_nothing_and_the_flow_is_over() -> Result {
    let case = Case::new().await?;
    let started = case
        .broker
        .start(&case.world.a, &ACME, &StartOptions::default())
        .await?;
    let mut request = callback(&case.world.a, started)?;
    request.code = None;
    let error = case
        .broker
        .finish(request.with_error("access_denied"))
        .await;
    assert_eq!(error.unwrap_err().code(), "access_refused");
    assert_eq!(case.calls(), 0, "the provider is not asked");
    let open = "SELECT count(*) FROM tenancy.oauth_states";
    let open: i64 = sqlx::query_scalar(open)
        .fetch_one(&case.world.db.superuser().await?)
        .await?;
    assert_eq!(open, 0);
    assert_eq!(case.world.audit.of("oauth.callback_refused").len(), 1);
    Ok(())
}
