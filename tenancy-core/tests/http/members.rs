//! Who is a member gets in; whoever carries no login, or names no tenant, is told so.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::{Router, body::Body, routing::get};
use http::{HeaderValue, Request};
use tenancy_core::{
    Authenticate, Error, Identity, LoginByToken, PlatformEvent, PlatformLog, RequestHead, UserId,
    http::{AuthLayer, TenantLayer, TenantSource},
    testing::{self, TestLogin},
};

use tower::ServiceExt as _;

use crate::app::{App, Result, ask, login};

#[tokio::test]
async fn a_member_gets_in_by_path_header_and_subdomain() -> Result {
    let app = App::start().await?;
    let tenant = app.ctx.tenant().to_string();
    let (name, login) = app.owner();
    let auth = (name, login.as_str());
    let host = format!("{}.example.com:8080", app.slug);
    let by_path = format!("/t/{}/who", app.slug);
    let asks = [
        (by_path.as_str(), vec![auth]),
        ("/who", vec![auth, ("x-tenant", &tenant)]),
        ("/who", vec![auth, ("host", &host)]),
        ("/who", vec![auth, ("host", &host), ("x-tenant", &tenant)]),
    ];
    for (path, headers) in asks {
        let answer = app.ask(path, &headers).await?;
        assert_eq!(
            (answer.status.as_u16(), &answer.body),
            (200, &tenant),
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_request_without_login_or_tenant_gets_a_problem() -> Result {
    let app = App::start().await?;
    let tenant = app.ctx.tenant().to_string();
    let (name, login) = app.owner();
    let (auth, named) = ((name, login.as_str()), ("x-tenant", tenant.as_str()));
    let nonsense = (name, "Bearer nonsense");
    for (path, headers, status, code) in [
        ("/who", vec![named], 401, "unauthenticated"),
        ("/who", vec![nonsense, named], 401, "login_invalid"),
        ("/who", vec![auth, auth, named], 401, "login_ambiguous"),
        ("/who", vec![auth], 400, "tenant_missing"),
        ("/bare", vec![auth, named], 401, "unauthenticated"),
    ] {
        let answer = app.ask(path, &headers).await?;
        assert_eq!(answer.code(), (status, code.to_owned()), "{headers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_route_without_a_tenant_knows_the_caller() -> Result {
    let app = App::start().await?;
    let (name, login) = app.owner();
    let answer = app.ask("/me", &[(name, &login)]).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, format!("{:?}", app.ctx.user()));
    assert_eq!(app.ask("/me", &[]).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn a_member_who_left_is_a_stranger() -> Result {
    let app = App::start().await?;
    let member = testing::member(&app.db.app, &app.ctx).await?;
    let (name, login) = login(member.user());
    let path = format!("/t/{}/who", app.slug);
    assert_eq!(app.ask(&path, &[(name, &login)]).await?.status, 200);
    sqlx::query("DELETE FROM tenancy.memberships WHERE user_id = $1")
        .bind(member.user())
        .execute(&app.db.superuser().await?)
        .await?;
    assert_eq!(app.ask(&path, &[(name, &login)]).await?.status, 404);
    Ok(())
}

/// Keeps what it is told.
#[derive(Clone, Debug, Default)]
struct Noted(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl PlatformLog for Noted {
    fn note(&self, event: PlatformEvent) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(format!("{} {}", event.kind.as_str(), event.code));
    }

    async fn flush(&self) {}
}

#[tokio::test]
async fn what_is_refused_is_noted_in_the_log_of_the_platform() -> Result {
    let app = App::start().await?;
    let noted = Noted::default();
    let db = app
        .db
        .app
        .clone()
        .with_platform_log(Arc::new(noted.clone()));
    let sources = [TenantSource::Segment("/t/".to_owned())];
    let tenants = TenantLayer::new(db, Arc::new(TestLogin), sources);
    let users = AuthLayer::new(Arc::new(TestLogin)).with_platform_log(Arc::new(noted.clone()));
    let router = Router::new()
        .route("/t/{*rest}", get(async || ()).route_layer(tenants))
        .route("/me", get(async || ()).route_layer(users));
    let path = format!("/t/{}", app.ctx.tenant());
    let (name, stranger) = login(None);
    for headers in [
        vec![],
        vec![(name, "Bearer x")],
        vec![(name, stranger.as_str())],
    ] {
        ask(&router, &path, &headers).await?;
        ask(&router, "/me", &headers).await?;
    }
    let noted = noted
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let refused = "login.refused login_invalid";
    assert_eq!(noted, [refused, refused, "enter.refused not_a_member"]);
    Ok(())
}

/// A cookie, say: it always knows who calls.
struct Session(UserId);

#[async_trait]
impl Authenticate for Session {
    async fn authenticate(&self, _: &RequestHead) -> std::result::Result<Option<Identity>, Error> {
        Ok(Some(Identity::new(self.0)))
    }
}

#[tokio::test]
async fn a_login_that_can_not_be_read_is_not_passed_over_for_another() -> Result {
    let session = LoginByToken::new().without_token(Session(UserId::new()));
    let router = Router::new()
        .route("/", get(async || "in"))
        .layer(AuthLayer::new(Arc::new(session)));
    for (login, status) in [(None, 200), (Some(&b"Bearer \xff"[..]), 401)] {
        let mut request = Request::get("/");
        if let Some(login) = login {
            request = request.header("authorization", HeaderValue::from_bytes(login)?);
        }
        let answer = router.clone().oneshot(request.body(Body::empty())?).await?;
        assert_eq!(answer.status(), status, "{login:?}");
    }
    Ok(())
}
