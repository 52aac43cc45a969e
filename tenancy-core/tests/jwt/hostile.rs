//! Tokens that somebody made to get in.

use serde_json::{Value, json};
use tenancy_core::{JwtAlgorithm, SubjectMapping};

use crate::issuer::{
    AUDIENCE, ISSUER, Result, Signer, World, b64, claims, now, options, sign_hmac,
};

fn with(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[claim] = value;
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

#[tokio::test]
async fn nobody_signs_with_what_is_public() -> Result {
    let world = World::new(options()).await?;
    // The RSA key taken for a shared secret, in the forms in which libraries have held it.
    let jwk = world.rsa.jwk();
    let modulus = jwk["n"].as_str().unwrap();
    for secret in [jwk.to_string().as_bytes(), modulus.as_bytes(), b""] {
        for name in ["HS256", "HS384", "HS512"] {
            let token = sign_hmac(&json!({"alg": name, "kid": "rsa"}), secret);
            assert_eq!(world.code(&token).await, "token_algorithm", "{name}");
        }
        // The algorithm's name is that of the key; the signature is not.
        let token = sign_hmac(&json!({"alg": "RS256", "kid": "rsa"}), secret);
        assert_eq!(world.code(&token).await, "token_signature");
    }
    // A symmetric key in the set is no key.
    let published = json!({"keys": [{"kty": "oct", "kid": "oct", "k": b64("secret")}]});
    world.published.raw(&published.to_string());
    let token = sign_hmac(&json!({"alg": "HS256", "kid": "oct"}), b"secret");
    assert_eq!(world.code(&token).await, "token_algorithm");
    Ok(())
}

#[tokio::test]
async fn no_signature_is_no_login() -> Result {
    let world = World::new(options()).await?;
    let body = b64(claims().to_string());
    for name in ["none", "None", "NONE", "nOnE", ""] {
        for kid in [json!({"alg": name}), json!({"alg": name, "kid": "rsa"})] {
            let token = format!("{}.{body}.", b64(kid.to_string()));
            assert_eq!(world.code(&token).await, "token_algorithm", "{name}");
        }
    }
    let token = world.rsa.token()?;
    let (message, _) = token.rsplit_once('.').unwrap();
    assert_eq!(world.code(&format!("{message}.")).await, "token_signature");
    assert_eq!(world.code(message).await, "token_malformed");
    Ok(())
}

#[tokio::test]
async fn a_key_is_used_only_in_the_way_it_was_made_for() -> Result {
    let world = World::new(options()).await?;
    for (signer, name, kid) in [
        (&world.p256, "RS256", "p256"),
        (&world.ed25519, "ES256", "ed"),
        (&world.rsa, "ES256", "rsa"),
        (&world.rsa, "EdDSA", "rsa"),
    ] {
        let token = signer.sign(&json!({"alg": name, "kid": kid}), &claims())?;
        assert_eq!(world.code(&token).await, "token_key_unknown", "{name}");
    }
    for name in [
        "RS384", "RS512", "PS256", "ES384", "ES256K", "Ed448", "rs256",
    ] {
        let token = world
            .rsa
            .sign(&json!({"alg": name, "kid": "rsa"}), &claims())?;
        assert_eq!(world.code(&token).await, "token_algorithm", "{name}");
    }
    let narrow = World::new(options().with_algorithms([JwtAlgorithm::Es256])).await?;
    assert_eq!(narrow.code(&narrow.p256.token()?).await, "accepted");
    assert_eq!(narrow.code(&narrow.rsa.token()?).await, "token_algorithm");
    Ok(())
}

#[tokio::test]
async fn a_key_for_encryption_or_for_another_algorithm_checks_nothing() -> Result {
    let world = World::new(options()).await?;
    for (member, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("alg", json!("RS512")),
        ("alg", json!("ES256")),
        ("kty", json!("oct")),
    ] {
        let mut key = world.rsa.jwk();
        key[member] = value;
        let world = World::new(options()).await?;
        let other = world.p256.jwk();
        world
            .published
            .raw(&json!({"keys": [key, other]}).to_string());
        let forged = Signer::rsa("rsa")?;
        assert_eq!(
            world.code(&forged.token()?).await,
            "token_key_unknown",
            "{member}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn keys_and_addresses_that_a_token_brings_along_are_not_looked_at() -> Result {
    let world = World::new(options()).await?;
    let forger = Signer::rsa("rsa")?;
    for (name, value) in [
        ("jwk", forger.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = forger.header();
        header[name] = value.clone();
        assert_eq!(
            world.code(&forger.sign(&header, &claims())?).await,
            "token_signature",
            "{name}"
        );
        let mut honest = world.rsa.header();
        honest[name] = value;
        assert_eq!(
            world.code(&world.rsa.sign(&honest, &claims())?).await,
            "accepted",
            "{name}"
        );
    }
    // A key of the forger's own name is asked for once, of the issuer.
    let stranger = Signer::ed25519("mine")?;
    assert_eq!(world.code(&stranger.token()?).await, "token_key_unknown");
    Ok(())
}

#[tokio::test]
async fn a_header_that_asks_for_something_unknown_is_refused() -> Result {
    let world = World::new(options()).await?;
    let header = |name: &str, value: Value| {
        let mut header = world.rsa.header();
        header[name] = value;
        header
    };
    for (header, code) in [
        (header("crit", json!(["exp"])), "token_critical"),
        (header("crit", json!([])), "token_critical"),
        (header("typ", json!("logout+jwt")), "token_type"),
        (header("typ", json!("secevent+jwt")), "token_type"),
        (header("typ", json!("dpop+jwt")), "token_type"),
        (header("typ", json!(1)), "token_malformed"),
        (header("kid", json!(["rsa"])), "token_malformed"),
        (header("kid", json!("k".repeat(257))), "token_malformed"),
        (header("kid", json!("../../dev/null")), "token_key_unknown"),
        (header("kid", json!("' OR 1=1 --")), "token_key_unknown"),
        (header("alg", json!(null)), "token_malformed"),
    ] {
        let token = world.rsa.sign(&header, &claims())?;
        assert_eq!(world.code(&token).await, code, "{header}");
    }
    Ok(())
}

#[tokio::test]
async fn claims_that_are_not_for_us_or_not_for_now_are_refused() -> Result {
    let world = World::new(options()).await?;
    let cases = [
        (with("iss", json!("https://evil.example")), "token_issuer"),
        (with("iss", json!(format!("{ISSUER}/"))), "token_issuer"),
        (with("iss", json!([ISSUER])), "token_claims"),
        (without("iss"), "token_issuer"),
        (
            with("aud", json!("https://other.example")),
            "token_audience",
        ),
        (with("aud", json!([])), "token_audience"),
        (with("aud", json!({"0": AUDIENCE})), "token_audience"),
        (without("aud"), "token_audience"),
        (with("exp", json!(now() - 31)), "token_expired"),
        (with("exp", json!(-1)), "token_expired"),
        (with("exp", json!(0)), "token_expired"),
        (with("exp", json!("4102444800")), "token_claims"),
        (with("exp", json!(1e300)), "token_claims"),
        (with("exp", json!(u64::MAX)), "token_claims"),
        (with("exp", json!(null)), "token_claims"),
        (without("exp"), "token_claims"),
        (with("nbf", json!(now() + 60)), "token_not_yet_valid"),
        (with("nbf", json!(i64::MAX)), "token_not_yet_valid"),
        (with("nbf", json!("now")), "token_claims"),
        (with("iat", json!(now() + 60)), "token_not_yet_valid"),
        (without("sub"), "token_claims"),
        (with("sub", json!(7)), "token_claims"),
        (with("sub", json!("")), "token_subject"),
        (with("sub", json!("a\0b")), "token_subject"),
        (with("sub", json!("s".repeat(513))), "token_subject"),
    ];
    for (claims, code) in cases {
        let token = world.rsa.sign(&world.rsa.header(), &claims)?;
        assert_eq!(world.code(&token).await, code, "{claims}");
        assert!(claims["exp"] != json!(u64::MAX) || code == "token_claims");
    }
    let uuid = World::new(options().with_subject(SubjectMapping::Uuid)).await?;
    assert_eq!(uuid.code(&uuid.rsa.token()?).await, "token_subject");
    Ok(())
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused() -> Result {
    let world = World::new(options()).await?;
    let (header, body) = (world.rsa.header().to_string(), claims().to_string());
    let twice = |json: &str, extra: &str| format!("{},{extra}}}", json.strip_suffix('}').unwrap());
    for (header, body) in [
        (header.clone(), twice(&body, r#""sub":"eve""#)),
        (header.clone(), twice(&body, r#""exp":4102444800"#)),
        (header.clone(), twice(&body, r#""s\u0075b":"eve""#)),
        (twice(&header, r#""alg":"none""#), body.clone()),
        (twice(&header, r#""kid":"rsa""#), body.clone()),
    ] {
        let token = world.rsa.sign_text(&header, &body)?;
        assert_eq!(
            world.code(&token).await,
            "token_malformed",
            "{header} {body}"
        );
    }
    let token = world.rsa.sign_text(&header, &body)?;
    assert_eq!(world.code(&token).await, "accepted");
    Ok(())
}

#[tokio::test]
async fn text_that_is_no_token_is_refused_without_asking_anybody() -> Result {
    let world = World::new(options()).await?;
    let token = world.rsa.token()?;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep = format!("{}.{}.AA", b64(format!(r#"{{"a":{deep}}}"#)), b64("{}"));
    let deep = &deep[..deep.len().min(8_000)];
    for bad in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "eyJ.eyJ.",
        &format!("{token}.{token}"),
        &format!("{token}="),
        &format!("{token}\n"),
        &format!("{token} "),
        &token.replace('.', ".."),
        &format!("{}.{}.AA", b64("[]"), b64("{}")),
        &format!("{}.{}.AA", b64("\"x\""), b64("{}")),
        &format!("{}.{}.AA", b64(b"{\"alg\":\"\xff\"}"), b64("{}")),
        deep,
        "tk_live_abcdefgh_secret",
        "\u{202e}",
    ] {
        assert_eq!(world.code(bad).await, "token_malformed", "{bad}");
    }
    assert_eq!(
        world.code(&"a".repeat(8 * 1024 + 1)).await,
        "token_too_long"
    );
    assert_eq!(world.published.asked(), 0);
    Ok(())
}

#[tokio::test]
async fn a_token_appears_in_no_error_and_no_debug() -> Result {
    let world = World::new(options()).await?;
    let forged = Signer::rsa("rsa")?.token()?;
    let old = world
        .rsa
        .sign(&world.rsa.header(), &with("exp", json!(1)))?;
    for token in [forged, old, "bad.bad.bad".to_owned()] {
        let error = world.login.identify(&token).await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", world.login);
        for part in token.split('.') {
            assert!(!shown.contains(part), "{shown}");
        }
    }
    let headers = vec![("authorization".to_owned(), "Bearer hidden".to_owned())];
    let head = tenancy_core::RequestHead::new("GET", "/x?access_token=hidden", headers);
    assert!(!format!("{head:?}").contains("hidden"));
    Ok(())
}

#[tokio::test]
async fn a_changed_byte_anywhere_breaks_the_token() -> Result {
    let world = World::new(options()).await?;
    for signer in [&world.rsa, &world.p256, &world.ed25519] {
        let token = signer.token()?;
        for at in (0..token.len()).step_by(7) {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes)?;
            assert_ne!(world.code(&changed).await, "accepted", "byte {at}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_without_a_key_id_means_the_only_key_of_its_kind_or_none() -> Result {
    let world = World::new(options()).await?;
    let nameless = |signer: &Signer| {
        let header = json!({"alg": signer.algorithm()});
        signer.sign(&header, &claims())
    };
    assert_eq!(world.code(&nameless(&world.rsa)?).await, "accepted");
    // With two of a kind it would be tried with one after the other, whoever signed it.
    let world = World::new(options()).await?;
    let second = Signer::rsa("rsa-2")?;
    world.published.keys(&[&world.rsa, &second, &world.p256]);
    for signer in [&world.rsa, &second] {
        let code = world.code(&nameless(signer)?).await;
        assert_eq!(code, "token_key_unknown", "{}", signer.kid);
    }
    assert_eq!(world.code(&nameless(&world.p256)?).await, "accepted");
    Ok(())
}
