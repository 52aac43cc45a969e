//! A small host.

use std::sync::Arc;

use axum::{Router, body::Body, routing::get};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tenancy_core::{
    Error, ErrorKind, TenantCtx,
    http::{AuthLayer, Caller, Tenant, TenantLayer, TenantSource},
    migrate::CORE,
    testing::{self, TestLogin},
};
use tenancy_testkit::Db;
use tower::ServiceExt as _;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A host with one tenant; there is always another one in the database.
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) router: Router,
    pub(crate) ctx: TenantCtx,
    pub(crate) other: TenantCtx,
    pub(crate) slug: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl App {
    pub(crate) async fn start() -> Result<Self> {
        crate::strangers::listen();
        let db = Db::new(&[&CORE]).await?;
        let ctx = testing::tenant(&db.app).await?;
        let other = testing::tenant(&db.app).await?;
        let slug = slug_of(&db, &ctx).await?;
        let router = router(&db);
        Ok(Self {
            db,
            router,
            ctx,
            other,
            slug,
        })
    }

    /// The header of somebody who is logged in as the tenant's owner.
    pub(crate) fn owner(&self) -> (&'static str, String) {
        login(self.ctx.user())
    }

    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        ask(&self.router, path, headers).await
    }
}

pub(crate) fn login(user: Option<tenancy_core::UserId>) -> (&'static str, String) {
    let user = user.unwrap_or_else(tenancy_core::UserId::new);
    ("authorization", format!("Bearer {user}"))
}

pub(crate) async fn slug_of(db: &Db, ctx: &TenantCtx) -> Result<String> {
    let sql = "SELECT slug FROM tenancy.tenant_slugs WHERE tenant_id = $1";
    let query = sqlx::query_scalar(sql).bind(ctx.tenant());
    Ok(query.fetch_one(&db.superuser().await?).await?)
}

fn router(db: &Db) -> Router {
    let who = async |Tenant(ctx): Tenant| ctx.tenant().to_string();
    let trace = async |Tenant(ctx): Tenant, headers: HeaderMap| {
        let seen = |name| {
            headers
                .get(name)
                .map(|v| v.to_str().unwrap_or("?").to_owned())
        };
        let (traceparent, state) = (seen("traceparent"), seen("tracestate"));
        format!(
            "{:?} {traceparent:?} {state:?}",
            ctx.trace().map(|id| id.to_string())
        )
    };
    let fail = async |_: Tenant| Err::<(), _>(Error::new(ErrorKind::Conflict, "in_the_way", "no"));
    let sources = [
        TenantSource::Path("tenant".to_owned()),
        TenantSource::Header("x-tenant".to_owned()),
        TenantSource::Subdomain("example.com".to_owned()),
    ];
    let layer = TenantLayer::new(db.app.clone(), Arc::new(TestLogin), sources);
    let me = get(async |Caller(me): Caller| format!("{:?}", me.user()));
    Router::new()
        .route("/who", get(who))
        .route("/trace", get(trace))
        .route("/fail", get(fail))
        .route("/t/{tenant}/who", get(who))
        .route_layer(layer)
        .route("/me", me.route_layer(AuthLayer::new(Arc::new(TestLogin))))
        .route("/bare", get(who))
}

pub(crate) async fn ask(router: &Router, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty())?).await?;
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or("?"))
    }

    /// A member of the problem that is the body.
    pub(crate) fn member(&self, name: &str) -> String {
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned);
        problem.get(name).and_then(text).unwrap_or_default()
    }

    pub(crate) fn code(&self) -> (u16, String) {
        (self.status.as_u16(), self.member("code"))
    }
}
