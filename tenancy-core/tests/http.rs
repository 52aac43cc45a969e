//! From a request to a tenant context, and what is answered instead.

use std::sync::Arc;

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tenancy_core::{
    TenantCtx,
    http::{AuthLayer, Caller, Tenant, TenantLayer, TenantSource},
    migrate::CORE,
    testing::{self, TestLogin},
};
use tenancy_testkit::Db;
use tower::ServiceExt as _;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

async fn app() -> Result<(Db, Router, TenantCtx)> {
    let db = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&db.app).await?;
    let who = async |Tenant(ctx): Tenant| ctx.tenant().to_string();
    let sources = [
        TenantSource::Path("tenant".to_owned()),
        TenantSource::Header("x-tenant".to_owned()),
        TenantSource::Subdomain("example.com".to_owned()),
    ];
    let layer = TenantLayer::new(db.app.clone(), Arc::new(TestLogin), sources);
    let me = get(async |Caller(me): Caller| me.user.to_string());
    let router = Router::new()
        .route("/who", get(who))
        .route("/t/{tenant}/who", get(who))
        .route_layer(layer)
        .route("/me", me.route_layer(AuthLayer::new(Arc::new(TestLogin))))
        .route("/bare", get(who));
    Ok((db, router, ctx))
}

/// The status, the body, and the request id of the answer.
async fn ask(
    router: &Router,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(StatusCode, String, String)> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty())?).await?;
    let id = response
        .headers()
        .get("x-request-id")
        .map(|id| id.to_str().map(ToOwned::to_owned));
    let (status, id) = (response.status(), id.transpose()?.unwrap_or_default());
    let body = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
    Ok((status, body, id))
}

#[tokio::test]
async fn a_member_gets_in_by_path_header_and_subdomain() -> Result {
    let (db, router, ctx) = app().await?;
    let tenant = ctx.tenant().to_string();
    let login = format!("Bearer {}", ctx.user().unwrap());
    let auth = ("authorization", login.as_str());
    let slug: String = sqlx::query_scalar("SELECT slug FROM tenancy.tenant_slugs")
        .fetch_one(&db.superuser().await?)
        .await?;
    let host = format!("{slug}.example.com:8080");
    let by_path = format!("/t/{slug}/who");
    let asks = [
        (by_path.as_str(), vec![auth]),
        ("/who", vec![auth, ("x-tenant", &tenant)]),
        ("/who", vec![auth, ("host", &host)]),
        ("/who", vec![auth, ("host", &host), ("x-tenant", &tenant)]),
    ];
    for (path, headers) in asks {
        let (status, body, id) = ask(&router, path, &headers).await?;
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::OK, tenant.as_str()),
            "{path}"
        );
        assert!(id.parse::<uuid::Uuid>().is_ok());
    }
    let given = uuid::Uuid::now_v7().to_string();
    let headers = [auth, ("x-tenant", &tenant), ("x-request-id", &given)];
    assert_eq!(ask(&router, "/who", &headers).await?.2, given);
    Ok(())
}

/// The path, the headers, and the status and code that are answered.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16, &'a str);

async fn assert_problems(router: &Router, cases: &[Case<'_>]) -> Result {
    for (path, headers, status, code) in cases {
        let (got, body, _) = ask(router, path, headers).await?;
        let problem: serde_json::Value = serde_json::from_str(&body)?;
        assert_eq!(
            (
                got.as_u16(),
                problem.get("code").and_then(serde_json::Value::as_str)
            ),
            (*status, Some(*code)),
            "{headers:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_stranger_learns_nothing_about_which_tenants_exist() -> Result {
    let (_db, router, ctx) = app().await?;
    let (tenant, unknown) = (ctx.tenant().to_string(), uuid::Uuid::now_v7().to_string());
    let stranger = format!("Bearer {}", uuid::Uuid::now_v7());
    let auth = ("authorization", stranger.as_str());
    let cases: Vec<Case> = vec![
        (
            "/who",
            vec![auth, ("x-tenant", &tenant)],
            404,
            "not_a_member",
        ),
        (
            "/who",
            vec![auth, ("x-tenant", &unknown)],
            404,
            "not_a_member",
        ),
        (
            "/who",
            vec![auth, ("x-tenant", "no-such")],
            404,
            "not_a_member",
        ),
    ];
    assert_problems(&router, &cases).await
}

#[tokio::test]
async fn a_request_without_login_or_tenant_gets_a_problem() -> Result {
    let (db, router, ctx) = app().await?;
    let tenant = ctx.tenant().to_string();
    let other = testing::tenant(&db.app).await?.tenant().to_string();
    let member = format!("Bearer {}", ctx.user().unwrap());
    let (auth, named) = (
        ("authorization", member.as_str()),
        ("x-tenant", tenant.as_str()),
    );
    let nonsense = ("authorization", "Bearer nonsense");
    let two = format!("/t/{tenant}/who");
    let elsewhere = ("host", "no-such.example.com");
    let cases: Vec<Case> = vec![
        ("/who", vec![named], 401, "unauthenticated"),
        ("/who", vec![nonsense, named], 401, "login_invalid"),
        ("/who", vec![auth], 400, "tenant_missing"),
        ("/who", vec![auth, named, elsewhere], 404, "not_a_member"),
        (
            &two,
            vec![auth, ("x-tenant", &other)],
            400,
            "tenant_ambiguous",
        ),
        ("/bare", vec![auth, named], 401, "unauthenticated"),
    ];
    assert_problems(&router, &cases).await
}

#[tokio::test]
async fn a_route_without_a_tenant_knows_the_caller() -> Result {
    let (_db, router, ctx) = app().await?;
    let user = ctx.user().unwrap().to_string();
    let login = format!("Bearer {user}");
    let (status, body, _) = ask(&router, "/me", &[("authorization", &login)]).await?;
    assert_eq!((status, body), (StatusCode::OK, user));
    assert_eq!(ask(&router, "/me", &[]).await?.0, StatusCode::UNAUTHORIZED);
    Ok(())
}
