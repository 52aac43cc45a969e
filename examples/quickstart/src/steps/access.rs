//! A denied and a granted action, with what they leave in the audit log.

use axum::{Router, body::Body, routing::post};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tenancy::{
    audit::{ActionFilter, AuditQuery, http::AuditLayer},
    authz::http::Gate,
    core::{
        TenantCtx,
        http::{Tenant, TenantLayer, TenantSource},
        testing::TestLogin,
    },
};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::onboarding::People;
use crate::{Result, Screen, World, host::perm};

pub(crate) async fn run(screen: &mut Screen, world: &World, people: &People) -> Result {
    screen.step("A gate");
    let router = router(world);
    let before = denials(world, people).await?;

    screen.ask("bob (support) sends POST /t/acme/templates, which needs `templates.write`");
    let (status, body) = send(&router, &people.bob).await?;
    screen.got(format!("{status} {body}"));
    let recorded = denials(world, people).await? - before;
    screen.got(format!(
        "{recorded} entry `access.denied` in acme's audit log"
    ));
    screen.promise("without the permission: 403 and exactly one audit entry", {
        status == StatusCode::FORBIDDEN && recorded == 1
    });

    screen.ask("ada (owner) sends the same");
    let (status, body) = send(&router, &people.ada).await?;
    let mut tx = world.db.read(&people.ada).await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM public.templates")
        .fetch_one(&mut *tx)
        .await?;
    let by_sql: (bool, bool) = sqlx::query_as(
        "SELECT util.user_has_permission($1, 'templates.write'), util.user_has_permission($1, 'no.such')",
    )
    .bind(people.ada.tenant())
    .fetch_one(&mut *tx)
    .await?;
    screen.got(format!("{status} {body}; templates in acme: {rows}"));
    screen.promise(
        "with it: 200, and the row is there",
        status == StatusCode::OK && rows == 1,
    );
    screen.promise("SQL gives the same answer as Rust", by_sql == (true, false));
    Ok(())
}

/// A host's router: the audit layer records mutations without a word in the handler.
fn router(world: &World) -> Router {
    let db = world.db.clone();
    let create = async move |Tenant(ctx): Tenant| {
        let mut tx = db.write(&ctx).await?;
        sqlx::query("INSERT INTO public.templates VALUES ($1, $2, 'welcome')")
            .bind(ctx.tenant())
            .bind(Uuid::now_v7())
            .execute(&mut *tx)
            .await
            .map_err(tenancy::core::Error::from)?;
        tx.commit().await?;
        Ok::<_, tenancy::core::Error>("created")
    };
    let gate = Gate::new(world.authz.clone());
    Router::new()
        .route("/t/{tenant}/templates", post(create))
        .route_layer(gate.require(perm::TemplatesWrite::get()))
        .route_layer(AuditLayer::new(world.audit.clone()))
        .route_layer(TenantLayer::new(
            world.db.clone(),
            std::sync::Arc::new(TestLogin),
            [TenantSource::Path("tenant".to_owned())],
        ))
}

async fn send(router: &Router, ctx: &TenantCtx) -> Result<(StatusCode, String)> {
    let user = ctx.user().ok_or("a member is a user")?;
    let request = Request::post("/t/acme/templates")
        .header("authorization", format!("Bearer {user}"))
        .body(Body::empty())?;
    let response = router.clone().oneshot(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn denials(world: &World, people: &People) -> Result<usize> {
    let query = AuditQuery::new().with_action(ActionFilter::exact("access.denied")?);
    Ok(world.log.search(&people.ada, &query).await?.entries.len())
}
