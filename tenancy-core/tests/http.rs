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

#[tokio::test]
async fn everybody_else_gets_a_problem_that_tells_nothing() -> Result {
    let (db, router, ctx) = app().await?;
    let tenant = ctx.tenant().to_string();
    let other = testing::tenant(&db.app).await?.tenant().to_string();
    let (member, stranger) = (
        format!("Bearer {}", ctx.user().unwrap()),
        format!("Bearer {}", uuid::Uuid::now_v7()),
    );
    let auth = |login| ("authorization", login);
    let unknown = uuid::Uuid::now_v7().to_string();
    let cases: [(&str, Vec<(&str, &str)>, u16, &str); 8] = [
        ("/who", vec![("x-tenant", &tenant)], 401, "unauthenticated"),
        (
            "/who",
            vec![auth("Bearer nonsense"), ("x-tenant", &tenant)],
            401,
            "login_invalid",
        ),
        (
            "/who",
            vec![auth(&stranger), ("x-tenant", &tenant)],
            404,
            "not_a_member",
        ),
        (
            "/who",
            vec![auth(&stranger), ("x-tenant", &unknown)],
            404,
            "not_a_member",
        ),
        (
            "/who",
            vec![auth(&stranger), ("x-tenant", "no-such")],
            404,
            "not_a_member",
        ),
        ("/who", vec![auth(&member)], 400, "tenant_missing"),
        (
            "/who",
            vec![
                auth(&member),
                ("x-tenant", &tenant),
                ("host", "no-such.example.com"),
            ],
            404,
            "not_a_member",
        ),
        (
            "/bare",
            vec![auth(&member), ("x-tenant", &tenant)],
            401,
            "unauthenticated",
        ),
    ];
    for (path, headers, status, code) in cases {
        let (got, body, _) = ask(&router, path, &headers).await?;
        let problem: serde_json::Value = serde_json::from_str(&body)?;
        assert_eq!(
            (got.as_u16(), &problem["code"]),
            (status, &code.into()),
            "{headers:?}"
        );
    }
    let two = format!("/t/{tenant}/who");
    let (status, body, _) = ask(&router, &two, &[auth(&member), ("x-tenant", &other)]).await?;
    assert!(status == 400 && body.contains("tenant_ambiguous"), "{body}");
    Ok(())
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
