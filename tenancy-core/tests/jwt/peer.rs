//! Tokens of a certified `OpenID` provider, its keys found by discovery and fetched over HTTP.

use std::sync::Arc;

use tenancy_core::{ErrorKind, JwksHttp as _, JwtLogin, JwtOptions, ReqwestJwks, migrate::CORE};
use tenancy_testkit::{Db, OidcPeer};
use url::Url;

use crate::issuer::{Result, code};

#[tokio::test]
async fn tokens_of_a_real_provider_open_and_only_for_their_audience() -> Result {
    let Some(peer) = OidcPeer::start().await? else {
        return Ok(());
    };
    let db = Db::new(&[&CORE]).await?;
    let http = Arc::new(ReqwestJwks::new()?.allow_loopback_http());
    let login = |audience: &str| {
        let options = JwtOptions::new(&peer.issuer, audience);
        JwtLogin::new(db.app.clone(), options, http.clone())
    };
    let (ours, other) = (
        login("https://api.example")?,
        login("https://other.example")?,
    );
    let user = db.app.user_for(&peer.issuer, "tenancy").await?;
    for algorithm in ["RS256", "ES256", "Ed25519"] {
        let url = Url::parse(&format!("{}/mint/{algorithm}", peer.issuer))?;
        let token = String::from_utf8(http.get(&url).await?)?;
        assert_eq!(
            ours.identify(&token).await?.user(),
            Some(user),
            "{algorithm}"
        );
        assert_eq!(code(&other.identify(&token).await), "token_audience");
        let forged = format!("{}A", &token[..token.len() - 2]);
        assert_ne!(code(&ours.identify(&forged).await), "accepted");
    }
    Ok(())
}

#[tokio::test]
async fn the_keys_of_another_issuer_are_not_taken() -> Result {
    let Some(peer) = OidcPeer::start().await? else {
        return Ok(());
    };
    let db = Db::new(&[&CORE]).await?;
    let http = Arc::new(ReqwestJwks::new()?.allow_loopback_http());
    // The same server by another name: its document names the first.
    let alias = peer.issuer.replace("127.0.0.1", "localhost");
    let login = JwtLogin::new(db.app.clone(), JwtOptions::new(alias, "x"), http.clone())?;
    let token = http
        .get(&Url::parse(&format!("{}/mint/RS256", peer.issuer))?)
        .await?;
    let refused = login.identify(&String::from_utf8(token)?).await;
    assert_eq!(code(&refused), "unavailable");

    // Plain HTTP is for development, and a redirect is no answer.
    let jwks = Url::parse(&format!("{}/jwks", peer.issuer))?;
    let refused = ReqwestJwks::new()?.get(&jwks).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
    for path in ["redirect", "endless", "no-such"] {
        let url = Url::parse(&format!("{}/{path}", peer.issuer))?;
        assert_eq!(
            http.get(&url).await.unwrap_err().kind(),
            ErrorKind::Unavailable,
            "{path}"
        );
    }
    for url in [
        "http://example.com/jwks",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "ftp://localhost/",
    ] {
        let refused = http.get(&Url::parse(url)?).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Misconfigured, "{url}");
    }
    Ok(())
}
