//! Tokens that are good, and what becomes of them.

use serde_json::json;
use tenancy_core::{Authenticate as _, RequestHead, SubjectMapping, UserId};

use crate::issuer::{AUDIENCE, ISSUER, Result, World, claims, now, options};

#[tokio::test]
async fn every_algorithm_leads_to_the_same_user() -> Result {
    let world = World::new(options()).await?;
    let user = world.db.app.user_for(ISSUER, "ada").await?;
    for signer in [&world.rsa, &world.p256, &world.ed25519] {
        let identity = world.login.identify(&signer.token()?).await?;
        assert_eq!(identity.user(), Some(user));
    }
    // The name of Ed25519 by RFC 9864.
    let header = json!({"alg": "Ed25519", "kid": "ed"});
    let token = world.ed25519.sign(&header, &claims())?;
    assert_eq!(world.login.identify(&token).await?.user(), Some(user));
    assert_eq!(world.published.asked(), 1);
    Ok(())
}

#[tokio::test]
async fn the_bearer_token_is_the_login() -> Result {
    let world = World::new(options()).await?;
    let ask = async |value: &str| {
        let headers = vec![("authorization".to_owned(), value.to_owned())];
        world
            .login
            .authenticate(&RequestHead::new("GET", "/", headers))
            .await
    };
    let token = world.rsa.token()?;
    assert!(ask(&format!("bearer {token}")).await?.is_some());
    assert!(ask("Basic YTpi").await?.is_none());
    assert!(ask("Bearer ").await.is_err());
    Ok(())
}

#[tokio::test]
async fn an_address_counts_only_if_the_issuer_verified_it() -> Result {
    let world = World::new(options()).await?;
    for (email, verified, expected) in [
        (
            json!("Ada@Example.com"),
            json!(true),
            Some("Ada@Example.com"),
        ),
        (json!("ada@example.com"), json!(false), None),
        (json!("ada@example.com"), json!("true"), None),
        (json!("ada@example.com"), json!(1), None),
        (json!("ada@example.com"), json!(null), None),
        (json!("no address"), json!(true), None),
        (json!(["ada@example.com"]), json!(true), None),
    ] {
        let mut with = claims();
        with["email"] = email;
        with["email_verified"] = verified.clone();
        let token = world.p256.sign(&world.p256.header(), &with)?;
        let identity = world.login.identify(&token).await?;
        assert_eq!(identity.email.as_deref(), expected, "{verified}");
    }
    Ok(())
}

#[tokio::test]
async fn a_subject_may_be_the_user_id_where_the_host_says_so() -> Result {
    let world = World::new(options().with_subject(SubjectMapping::Uuid)).await?;
    let (user, mut with) = (UserId::new(), claims());
    with["sub"] = json!(user);
    let token = world.rsa.sign(&world.rsa.header(), &with)?;
    assert_eq!(world.login.identify(&token).await?.user(), Some(user));
    assert_eq!(world.code(&world.rsa.token()?).await, "token_subject");
    Ok(())
}

#[tokio::test]
async fn the_tenant_of_a_token_is_read_only_from_the_claim_that_is_named() -> Result {
    let (without, named) = (
        World::new(options()).await?,
        World::new(options().with_tenant_claim("org")).await?,
    );
    let mut with = claims();
    with["org"] = json!("acme");
    with["tenant"] = json!("other");
    for (world, tenant) in [(without, None), (named, Some("acme"))] {
        let token = world.ed25519.sign(&world.ed25519.header(), &with)?;
        let identity = world.login.identify(&token).await?;
        assert_eq!(identity.tenant.as_deref(), tenant);
    }
    Ok(())
}

#[tokio::test]
async fn what_the_standard_leaves_open_is_accepted() -> Result {
    let world = World::new(options()).await?;
    let mut several = claims();
    several["aud"] = json!(["https://other.example", AUDIENCE]);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let half = now() as f64 + 60.5;
    let mut fraction = claims();
    fraction["exp"] = json!(half);
    for with in [several, fraction] {
        let token = world.rsa.sign(&world.rsa.header(), &with)?;
        assert_eq!(world.code(&token).await, "accepted", "{with}");
    }
    for kind in ["at+jwt", "application/at+JWT", "jwt"] {
        let header = json!({"alg": "ES256", "kid": "p256", "typ": kind});
        let token = world.p256.sign(&header, &claims())?;
        assert_eq!(world.code(&token).await, "accepted", "{kind}");
    }
    // One key of a kind needs no name.
    let token = world.p256.sign(&json!({"alg": "ES256"}), &claims())?;
    assert_eq!(world.code(&token).await, "accepted");
    Ok(())
}

#[tokio::test]
async fn the_leeway_is_what_the_host_says() -> Result {
    let strict = World::new(options().with_leeway(std::time::Duration::ZERO)).await?;
    let lenient = World::new(options()).await?;
    for (claim, value, code) in [
        ("exp", now() - 10, "token_expired"),
        ("nbf", now() + 20, "token_not_yet_valid"),
        ("iat", now() + 20, "token_not_yet_valid"),
    ] {
        let mut with = claims();
        with[claim] = json!(value);
        for (world, expected) in [(&strict, code), (&lenient, "accepted")] {
            let token = world.rsa.sign(&world.rsa.header(), &with)?;
            assert_eq!(world.code(&token).await, expected, "{claim}");
        }
    }
    let too_much = options().with_leeway(std::time::Duration::from_secs(301));
    assert!(World::new(too_much).await.is_err());
    Ok(())
}
