//! The routes of the broker, and the HTTP client under it.

use std::sync::Arc;

use axum::{Router, body::Body, response::IntoResponse as _, routing::get};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use tenancy_core::{
    TenantCtx,
    http::{AuthLayer, TenantLayer, TenantSource},
    testing::TestLogin,
};
use tenancy_secrets::{ReqwestHttp, http::oauth_routes, testing::conformance};
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use url::Url;

use crate::{
    oidc::{Peer, broker, browse},
    support::{Result, World},
};

#[tokio::test]
async fn the_http_client_passes_the_suite_of_its_port() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url: Url = format!("http://{}", listener.local_addr()?).parse()?;
    let router = Router::new()
        .route("/ok", get(async || "yes"))
        .route(
            "/redirect",
            get(async || (StatusCode::FOUND, [(header::LOCATION, "/ok")]).into_response()),
        )
        .route("/big", get(async || "x".repeat(1_000_000)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let nobody = format!("http://{closed}").parse()?;
    conformance::oauth_http(&ReqwestHttp::new()?, &url, &nobody).await;
    Ok(())
}

/// A host with the broker's routes.
struct Host {
    router: Router,
    user: String,
    tenant: String,
}

impl Host {
    fn new(world: &World, peer: &Peer) -> Result<Self> {
        let login = Arc::new(TestLogin);
        let source = TenantSource::Header("x-tenant".to_owned());
        let tenants = TenantLayer::new(world.db.app.clone(), login.clone(), [source]);
        let broker = broker(world, peer.provider()?)?;
        let router = oauth_routes(broker, tenants, AuthLayer::new(login));
        let user = |ctx: &TenantCtx| ctx.user().map(|user| user.to_string()).ok_or("no user");
        Ok(Self {
            router,
            user: user(&world.a)?,
            tenant: world.a.tenant().to_string(),
        })
    }

    async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(self
            .router
            .clone()
            .oneshot(request.body(Body::empty())?)
            .await?
            .map(Body::new))
    }
}

fn header_of<'a>(response: &'a Response<Body>, name: &str) -> Result<&'a str> {
    Ok(response
        .headers()
        .get(name)
        .ok_or_else(|| format!("no `{name}`"))?
        .to_str()?)
}

async fn json(response: Response<Body>) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(
        &response.into_body().collect().await?.to_bytes(),
    )?)
}

#[tokio::test]
async fn a_browser_connects_and_disconnects_an_account_through_the_routes() -> Result {
    let Some(peer) = Peer::start(0).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let host = Host::new(&world, &peer)?;
    let bearer = format!("Bearer {}", host.user);
    let login = [
        ("authorization", bearer.as_str()),
        ("x-tenant", host.tenant.as_str()),
    ];

    let started = host
        .send(
            Method::GET,
            "/api/oauth/acme/start?return_to=/welcome",
            &login,
        )
        .await?;
    assert_eq!(started.status(), StatusCode::SEE_OTHER);
    assert_eq!(header_of(&started, "cache-control")?, "no-store");
    let cookie = header_of(&started, "set-cookie")?;
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let callback = browse(&header_of(&started, "location")?.parse()?, "ada").await?;
    let (state, code, issuer) = (
        callback.text("state")?,
        callback.text("code")?,
        callback.text("iss")?,
    );
    let uri = format!("/api/oauth/acme/callback?state={state}&code={code}&iss={issuer}");

    let nobody = host.send(Method::GET, &uri, &[("cookie", &cookie)]).await?;
    assert_eq!(
        nobody.status(),
        StatusCode::UNAUTHORIZED,
        "and the state is still good"
    );
    let finished = host
        .send(
            Method::GET,
            &uri,
            &[("authorization", &bearer), ("cookie", &cookie)],
        )
        .await?;
    assert_eq!(
        (finished.status(), header_of(&finished, "location")?),
        (StatusCode::SEE_OTHER, "/welcome")
    );
    assert!(header_of(&finished, "set-cookie")?.contains("Max-Age=0"));
    let replayed = host
        .send(
            Method::GET,
            &uri,
            &[("authorization", &bearer), ("cookie", &cookie)],
        )
        .await?;
    assert_eq!(replayed.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        header_of(&replayed, "content-type")?,
        "application/problem+json"
    );
    assert_eq!(json(replayed).await?["code"], "state_unknown");

    let listed = json(
        host.send(Method::GET, "/api/oauth/connections", &login)
            .await?,
    )
    .await?;
    assert_eq!(listed["connections"][0]["status"], "connected");
    assert_eq!(listed["connections"][0]["account_id"], "ada");
    assert!(!listed.to_string().contains("token"));
    let id = listed["connections"][0]["id"].as_str().ok_or("no id")?;

    let wrong = host
        .send(
            Method::DELETE,
            &format!("/api/oauth/google/connections/{id}"),
            &login,
        )
        .await?;
    assert_eq!(wrong.status(), StatusCode::NOT_FOUND);
    let gone = host
        .send(
            Method::DELETE,
            &format!("/api/oauth/acme/connections/{id}"),
            &login,
        )
        .await?;
    assert_eq!(
        (gone.status(), json(gone).await?["revocation"].as_str()),
        (StatusCode::OK, Some("revoked"))
    );
    Ok(())
}

#[tokio::test]
async fn bad_requests_are_problems_and_another_site_can_not_begin() -> Result {
    let Some(peer) = Peer::start(0).await? else {
        return Ok(());
    };
    let world = World::new().await?;
    let host = Host::new(&world, &peer)?;
    let bearer = format!("Bearer {}", host.user);
    let login = [
        ("authorization", bearer.as_str()),
        ("x-tenant", host.tenant.as_str()),
    ];
    let cross = [login[0], login[1], ("sec-fetch-site", "cross-site")];
    for (uri, headers, status, code) in [
        ("/api/oauth/acme/start", &cross[..], 403, "cross_site"),
        ("/api/oauth/nope/start", &login[..], 404, "provider_unknown"),
        ("/api/oauth/google/start", &login[..], 500, "client_missing"),
        (
            "/api/oauth/Bad'Key/start",
            &login[..],
            404,
            "provider_unknown",
        ),
        (
            "/api/oauth/acme/start?return_to=//evil.example",
            &login[..],
            400,
            "return_path_refused",
        ),
        (
            "/api/oauth/acme/start?reconnect=7",
            &login[..],
            400,
            "id_invalid",
        ),
        ("/api/oauth/acme/callback", &login[..], 403, "state_missing"),
        (
            "/api/oauth/acme/callback?state=forged&code=x",
            &login[..],
            403,
            "state_unknown",
        ),
        ("/api/oauth/acme/start", &login[..1], 400, "tenant_missing"),
    ] {
        let answer = host.send(Method::GET, uri, headers).await?;
        assert_eq!(answer.status().as_u16(), status, "{uri}");
        assert_eq!(json(answer).await?["code"], code, "{uri}");
    }
    let app = [login[0], login[1], ("accept", "application/json")];
    let answer = host
        .send(Method::GET, "/api/oauth/acme/start", &app)
        .await?;
    assert!(answer.headers().contains_key("set-cookie"));
    let url = json(answer).await?["authorize_url"]
        .as_str()
        .ok_or("no URL")?
        .to_owned();
    assert!(url.starts_with(peer.url.as_str()));
    Ok(())
}
