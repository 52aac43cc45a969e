//! The whole dance against a real OpenID-certified server.

use futures_util::future::join_all;
use tenancy_core::{CredentialSource as _, SecretText, testing};
use tenancy_secrets::{ConnectionStatus, DisconnectOutcome, ErrorKind, OAuthBroker, StartOptions};

use crate::{
    children::{Inside, Process, env, heard, say},
    leaks::Log,
    oidc::{ACME, Peer, broker, browse, child_broker, connect, token},
    support::{Result, World},
};

#[tokio::test]
async fn an_account_is_connected_used_refreshed_and_disconnected() -> Result {
    let log = Log::start();
    let Some(peer) = Peer::start(0).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let broker = broker(&world, peer.provider()?)?;
    let options = StartOptions::default().with_return_to("/welcome");
    let finished = connect(&broker, &world.a, "ada", &options).await?;
    assert_eq!(
        (finished.tenant, finished.return_to.as_str()),
        (world.a.tenant(), "/welcome")
    );
    let id = finished.connection;
    let connection = broker.get(&world.a, id).await?;
    assert_eq!(
        (connection.status, connection.account_id.as_deref()),
        (ConnectionStatus::Connected, Some("ada"))
    );
    assert!(connection.missing_scopes().is_empty());

    let (first, generation) = token(&broker, &world.a, id).await?;
    assert!(peer.knows(&first).await?);
    let renewed = broker.renewed(&world.a, id.into(), generation).await?;
    assert_ne!(renewed.secret.expose(), first.expose());
    assert!(renewed.generation > generation && peer.knows(&renewed.secret).await?);
    // Somebody who was refused with the older one is given the newer one, without a call.
    let again = broker.renewed(&world.a, id.into(), generation).await?;
    assert_eq!(again.secret.expose(), renewed.secret.expose());
    assert_eq!(peer.count("refresh_token").await?, 1);

    // The other tenant has no such connection.
    assert_eq!(
        broker.get(&world.b, id).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(broker.credential(&world.b, id.into()).await.is_err());

    assert_eq!(
        broker.disconnect(&world.a, id).await?,
        DisconnectOutcome::Revoked
    );
    assert_eq!(peer.count("revocations").await?, 1);
    assert!(
        !peer.knows(&renewed.secret).await?,
        "the token is dead at the provider"
    );
    let gone = broker.credential(&world.a, id.into()).await.unwrap_err();
    assert_eq!(gone.code(), "connection_disconnected");
    let superuser = world.db.superuser().await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.integration_secrets")
        .fetch_one(&superuser)
        .await?;
    assert_eq!(rows, 0, "the tokens are wiped");
    let actions: Vec<_> = world
        .audit
        .entries()
        .into_iter()
        .map(|entry| entry.event.action)
        .collect();
    assert_eq!(
        actions,
        [
            "oauth.connected",
            "oauth.disconnected",
            "oauth.revocation_ended"
        ]
    );

    let text = log.text();
    assert!(
        text.contains("tenancy.commit_oauth_refresh"),
        "the log was captured"
    );
    for secret in [
        first.expose(),
        renewed.secret.expose(),
        "peer-client-secret",
        "cGVlci1jbGllbnQtc2VjcmV0",
    ] {
        assert!(
            !text.contains(secret),
            "a token or a client's secret is in the log"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_callback_works_once_for_its_user_in_its_browser_at_its_provider() -> Result {
    let Some(peer) = Peer::start(0).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let broker = broker(&world, peer.provider()?)?;
    let begin = async || -> Result<_> {
        let started = broker
            .start(&world.a, &ACME, &StartOptions::default())
            .await?;
        let callback = browse(&started.authorize_url, "ada").await?;
        Ok((started, callback))
    };
    let code = async |request| {
        broker
            .finish(request)
            .await
            .map(drop)
            .map_err(|error| error.code())
    };

    let (started, callback) = begin().await?;
    assert_eq!(code(callback.request(&world.a, &started)?).await, Ok(()));
    assert_eq!(
        code(callback.request(&world.a, &started)?).await,
        Err("state_unknown"),
        "replayed"
    );

    let (started, callback) = begin().await?;
    assert_eq!(
        code(callback.request(&world.b, &started)?).await,
        Err("state_foreign_user")
    );
    assert_eq!(
        code(callback.request(&world.a, &started)?).await,
        Err("state_unknown"),
        "it was used up"
    );

    let (started, callback) = begin().await?;
    let mut other = callback.request(&world.a, &started)?;
    other.browser_secret = Some(SecretText::new("another browser's"));
    assert_eq!(code(other).await, Err("state_foreign_browser"));

    let (started, callback) = begin().await?;
    let mut without = callback.request(&world.a, &started)?;
    without.browser_secret = None;
    assert_eq!(code(without).await, Err("state_foreign_browser"));

    let (started, callback) = begin().await?;
    let mut foreign = callback.request(&world.a, &started)?;
    foreign.provider = tenancy_secrets::ProviderKey::from_static("google");
    assert_eq!(code(foreign).await, Err("state_foreign_provider"));

    for issuer in [Some("https://evil.example".to_owned()), None] {
        let (started, callback) = begin().await?;
        let mut mixed_up = callback.request(&world.a, &started)?;
        mixed_up.issuer = issuer;
        assert_eq!(code(mixed_up).await, Err("issuer_mismatch"));
    }

    let (started, callback) = begin().await?;
    let superuser = world.db.superuser().await?;
    sqlx::raw_sql("UPDATE tenancy.oauth_states SET expires_at = now() - interval '1 second'")
        .execute(&superuser)
        .await?;
    assert_eq!(
        code(callback.request(&world.a, &started)?).await,
        Err("state_expired")
    );

    let (started, callback) = begin().await?;
    let mut forged = callback.request(&world.a, &started)?;
    forged.state = SecretText::new("A".repeat(43));
    assert_eq!(code(forged).await, Err("state_unknown"));

    let (started, callback) = begin().await?;
    let mut stolen = callback.request(&world.a, &started)?;
    stolen.code = Some(SecretText::new("not-a-code"));
    assert_eq!(code(stolen).await, Err("code_refused"));
    assert_eq!(
        peer.count("refused").await?,
        1,
        "what is refused here is not sent there"
    );
    assert_eq!(world.audit.of("oauth.callback_refused").len(), 8);
    assert_eq!(world.audit.of("oauth.connected").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_code_injected_into_another_flow_fails_by_pkce() -> Result {
    let Some(peer) = Peer::start(0).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let broker = broker(&world, peer.provider()?)?;
    let victims = broker
        .start(&world.b, &ACME, &StartOptions::default())
        .await?;
    let stolen = browse(&victims.authorize_url, "victim").await?;
    let own = broker
        .start(&world.a, &ACME, &StartOptions::default())
        .await?;
    let callback = browse(&own.authorize_url, "ada").await?;
    let mut injected = callback.request(&world.a, &own)?;
    injected.code = Some(SecretText::new(stolen.text("code")?));
    assert_eq!(
        broker.finish(injected).await.unwrap_err().code(),
        "code_refused"
    );
    Ok(())
}

#[tokio::test]
async fn of_many_callbacks_at_once_one_connects() -> Result {
    let Some(peer) = Peer::start(0).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let broker = broker(&world, peer.provider()?)?;
    let started = broker
        .start(&world.a, &ACME, &StartOptions::default())
        .await?;
    let callback = browse(&started.authorize_url, "ada").await?;
    let mut racers = Vec::new();
    for _ in 0..20 {
        racers.push(broker.finish(callback.request(&world.a, &started)?));
    }
    let outcomes = join_all(racers).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(peer.count("authorization_code").await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_connected_again_keeps_its_connection_and_another_one_is_refused()
-> Result {
    let Some(peer) = Peer::start(0).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let broker = broker(&world, peer.provider()?)?;
    let none = StartOptions::default();
    let first = connect(&broker, &world.a, "ada", &none).await?.connection;
    let again = connect(&broker, &world.a, "ada", &none).await?.connection;
    assert_eq!(first, again);
    assert_eq!(broker.get(&world.a, first).await?.generation, 2);
    let other = connect(&broker, &world.a, "bob", &none).await?.connection;
    assert_ne!(first, other, "two accounts of one provider");
    let theirs = connect(&broker, &world.b, "ada", &none).await?.connection;
    assert_ne!(first, theirs, "another tenant, another connection");

    let reconnect = StartOptions::default().with_reconnect(first);
    let mismatch = connect(&broker, &world.a, "bob", &reconnect)
        .await
        .unwrap_err();
    assert!(
        mismatch.to_string().contains("another account"),
        "{mismatch}"
    );
    let foreign = broker.start(&world.b, &ACME, &reconnect).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    assert_eq!(
        connect(&broker, &world.a, "ada", &reconnect)
            .await?
            .connection,
        first
    );
    Ok(())
}

/// A child that asks for a newer token at the parent's word.
pub(crate) async fn refresh(inside: Inside) -> Result {
    let broker = child_broker(inside.db.clone(), inside.vault, &env("CHILD_ISSUER"))?;
    let ctx = inside.db.enter(inside.tenant, inside.user).await?;
    let id: tenancy_secrets::ConnectionId = env("CHILD_CONNECTION").parse()?;
    say("ready");
    loop {
        let word = heard().await;
        let Ok(refused) = word.parse::<i64>() else {
            return Ok(());
        };
        // Four callers in this process, so that both lines of defence are needed.
        let callers = (0..4).map(|_| broker.renewed(&ctx, id.into(), refused));
        let mut tokens = Vec::new();
        for renewed in join_all(callers).await {
            tokens.push(renewed?.secret.expose().to_owned());
        }
        tokens.dedup();
        say(&tokens.join(" "));
    }
}

#[tokio::test]
async fn two_processes_that_refresh_at_once_make_one_token_call() -> Result {
    let Some(peer) = Peer::start(150).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let broker = broker(&world, peer.provider()?)?;
    let id = connect(&broker, &world.a, "ada", &StartOptions::default())
        .await?
        .connection;
    let more = [
        ("CHILD_ISSUER", peer.url.as_str()),
        ("CHILD_CONNECTION", &id.to_string()),
    ];
    let mut processes = [
        Process::start("refresh", &world, &more)?,
        Process::start("refresh", &world, &more)?,
    ];
    for process in &mut processes {
        assert_eq!(process.line()?, "ready");
    }
    for round in 1..=4 {
        for process in &mut processes {
            process.tell(&round.to_string())?;
        }
        let one = processes[0].line()?;
        assert_eq!(one, processes[1].line()?, "both were given the same token");
        assert!(!one.contains(' ') && peer.knows(&SecretText::new(one.clone())).await?);
        assert_eq!(peer.count("refresh_token").await?, u64::try_from(round)?);
    }
    assert_eq!(peer.count("refused").await?, 0);
    assert_eq!(
        broker.get(&world.a, id).await?.status,
        ConnectionStatus::Connected
    );
    Ok(())
}

#[tokio::test]
async fn a_process_that_is_killed_during_its_refresh_leaves_a_decidable_connection() -> Result {
    let Some(peer) = Peer::start(1_500).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let broker = broker(&world, peer.provider()?)?;
    let id = connect(&broker, &world.a, "ada", &StartOptions::default())
        .await?
        .connection;
    let more = [
        ("CHILD_ISSUER", peer.url.as_str()),
        ("CHILD_CONNECTION", &id.to_string()),
    ];
    let mut process = Process::start("refresh", &world, &more)?;
    process.line()?;
    process.tell("1")?;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    process.kill()?;
    // The provider has rotated the token; the answer was for a process that is gone.
    assert_eq!(peer.count("refresh_token").await?, 1);
    let superuser = world.db.superuser().await?;
    sqlx::raw_sql("UPDATE tenancy.oauth_connections SET lease_until = now()")
        .execute(&superuser)
        .await?;
    let error = broker.renewed(&world.a, id.into(), 1).await.unwrap_err();
    assert_eq!(error.code(), "needs_reauth");
    let connection = broker.get(&world.a, id).await?;
    assert_eq!(connection.status, ConnectionStatus::NeedsReauth);
    assert_eq!(connection.status_reason.as_deref(), Some("lost_rotation"));
    assert_eq!(world.audit.of("oauth.needs_reauth").len(), 1);

    // A person connects it again, and everything is well.
    let again = StartOptions::default().with_reconnect(id);
    assert_eq!(
        connect(&broker, &world.a, "ada", &again).await?.connection,
        id
    );
    let (token, _) = token(&broker, &world.a, id).await?;
    assert!(peer.knows(&token).await?);
    Ok(())
}

#[tokio::test]
async fn a_member_without_the_permission_connects_nothing() -> Result {
    let Some(peer) = Peer::start(0).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let member = testing::member(&world.db.app, &world.a).await?;
    let strict: OAuthBroker = {
        let authorizer = std::sync::Arc::new(tenancy_core::testing::FakeAuthorizer::new());
        let audit = std::sync::Arc::new(world.audit.clone());
        let public = "http://127.0.0.1:8080".parse()?;
        let client = tenancy_secrets::OAuthClient::public("tenancy");
        OAuthBroker::builder(
            world.db.app.clone(),
            world.vault.clone(),
            public,
            authorizer,
            audit,
        )
        .catalog(tenancy_secrets::Catalog::empty().with_provider(peer.provider()?)?)
        .client(ACME, client)
        .build()?
    };
    let id = tenancy_secrets::ConnectionId::new();
    let denials = [
        strict
            .start(&member, &ACME, &StartOptions::default())
            .await
            .err(),
        strict.list(&member, None, 10).await.err(),
        strict.get(&member, id).await.err(),
        strict.disconnect(&member, id).await.err(),
    ];
    for denial in denials {
        assert_eq!(denial.map(|error| error.kind()), Some(ErrorKind::Denied));
    }
    Ok(())
}

#[tokio::test]
async fn without_the_lease_the_same_two_processes_ask_twice() -> Result {
    let Some(peer) = Peer::start(300).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let broker = broker(&world, peer.provider()?)?;
    let id = connect(&broker, &world.a, "ada", &StartOptions::default())
        .await?
        .connection;
    // The planted fault: leases that have always run out.
    let forget = "CREATE FUNCTION public.forget() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.lease_until := NULL; RETURN NEW; END $$;
        CREATE TRIGGER forget BEFORE UPDATE ON tenancy.oauth_connections FOR EACH ROW EXECUTE FUNCTION public.forget()";
    sqlx::raw_sql(forget)
        .execute(&world.db.superuser().await?)
        .await?;
    let more = [
        ("CHILD_ISSUER", peer.url.as_str()),
        ("CHILD_CONNECTION", &id.to_string()),
    ];
    let mut processes = [
        Process::start("refresh", &world, &more)?,
        Process::start("refresh", &world, &more)?,
    ];
    for process in &mut processes {
        process.line()?;
    }
    for process in &mut processes {
        process.tell("1")?;
    }
    for process in &mut processes {
        // One of them fails; both are done when they have said or ended.
        let _ = process.line();
    }
    assert!(peer.count("refresh_token").await? > 1);
    Ok(())
}
