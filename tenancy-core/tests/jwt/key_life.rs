//! Keys come, change, and go; the issuer may be down.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use tenancy_core::{ErrorKind, JwtLogin};

use crate::issuer::{JWKS, Result, Signer, World, options};

#[tokio::test]
async fn a_rotated_key_is_fetched_once_and_the_old_one_is_dropped() -> Result {
    let world = World::new(options().with_refetch_pause(Duration::from_secs(1))).await?;
    let old = world.rsa.token()?;
    assert_eq!(world.code(&old).await, "accepted");
    let new = Signer::rsa("rsa-2")?;
    world.published.keys(&[&new]);
    assert_eq!(world.code(&old).await, "accepted");
    tokio::time::sleep(Duration::from_millis(1_050)).await;

    // Everybody comes with the new key at once: one asks.
    let token = new.token()?;
    let codes = join_all((0..50).map(|_| world.code(&token))).await;
    assert!(codes.iter().all(|code| *code == "accepted"), "{codes:?}");
    assert_eq!(world.published.asked(), 2);
    assert_eq!(world.code(&old).await, "token_key_unknown");
    Ok(())
}

#[tokio::test]
async fn unknown_keys_do_not_make_us_ask_again_and_again() -> Result {
    let world = World::new(options()).await?;
    assert_eq!(world.code(&world.rsa.token()?).await, "accepted");
    for n in 0..50 {
        let token = Signer::ed25519(&format!("unknown-{n}"))?.token()?;
        assert_eq!(world.code(&token).await, "token_key_unknown");
    }
    assert_eq!(world.published.asked(), 1);
    Ok(())
}

#[tokio::test]
async fn while_the_issuer_is_down_the_last_keys_are_used_for_a_bounded_time() -> Result {
    let (fresh, stale) = (Duration::from_millis(200), Duration::from_millis(1_500));
    let options = options()
        .with_key_life(fresh, stale)
        .with_refetch_pause(Duration::from_secs(1));
    let world = World::new(options).await?;
    let token = world.p256.token()?;
    assert_eq!(world.code(&token).await, "accepted");
    for broken in [
        None,
        Some("<html>"),
        Some(r#"{"keys":[]}"#),
        Some(r#"{"keys":[{"kty":"oct","k":"AA"}]}"#),
    ] {
        match broken {
            None => world.published.nothing(),
            Some(document) => world.published.raw(document),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(world.code(&token).await, "accepted", "{broken:?}");
    }
    tokio::time::sleep(stale).await;
    let error = world.login.identify(&token).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "keys_unavailable")
    );
    assert!(error.retry().is_retryable());

    world.published.keys(&[&world.p256]);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(world.code(&token).await, "accepted");
    Ok(())
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_cut_off_the_fetch() -> Result {
    let world = World::new(options()).await?;
    let token = world.rsa.token()?;
    let given_up =
        tokio::time::timeout(Duration::from_millis(5), world.login.identify(&token)).await;
    assert!(given_up.is_err());
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(world.code(&token).await, "accepted");
    assert_eq!(world.published.asked(), 1);
    Ok(())
}

#[tokio::test]
async fn one_bad_key_of_a_set_does_not_spoil_the_others() -> Result {
    let world = World::new(options()).await?;
    let set = json!({"keys": [
        7, null, {}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"}, {"kty": "new"}, world.rsa.jwk(),
    ]});
    world.published.raw(&set.to_string());
    assert_eq!(world.code(&world.rsa.token()?).await, "accepted");
    assert_eq!(world.code(&world.p256.token()?).await, "token_key_unknown");
    Ok(())
}

#[tokio::test]
async fn options_out_of_their_bounds_are_refused() -> Result {
    let world = World::new(options()).await?;
    let day = Duration::from_hours(25);
    for bad in [
        options().with_jwks_url("no address"),
        options().with_algorithms([]),
        options().with_key_life(day, Duration::ZERO),
        options().with_key_life(Duration::ZERO, day),
        options().with_refetch_pause(Duration::ZERO),
        tenancy_core::JwtOptions::new("", "x").with_jwks_url(JWKS),
        tenancy_core::JwtOptions::new("x", "").with_jwks_url(JWKS),
    ] {
        let made = JwtLogin::new(world.db.app.clone(), bad, Arc::new(world.published.clone()));
        assert_eq!(made.unwrap_err().kind(), ErrorKind::Misconfigured);
    }
    Ok(())
}
