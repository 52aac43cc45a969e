//! Gates, in code and on the routes of a real router.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Router, body::Body, extract::FromRef, routing::get};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tenancy_authz::{
    AuthzOptions, ErrorKind, PgAuthorizer,
    http::{Allowed, Gate},
};
use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, Error, ErrorKind as CoreKind, Event, Kept,
    PermissionKey, ServiceKey, TenantCtx, TenantDb, TenantTx,
    http::{Tenant, TenantLayer, TenantSource},
    testing::{MemoryAudit, TestLogin},
};
use tower::ServiceExt as _;

use crate::support::{PURGE, READ, Result, World, authorizer, definitions, perm, user};

#[derive(Clone)]
struct AppState {
    db: TenantDb,
    authorizer: Arc<dyn Authorizer>,
}

impl FromRef<AppState> for Arc<dyn Authorizer> {
    fn from_ref(state: &AppState) -> Self {
        state.authorizer.clone()
    }
}

/// A real handler: it asks the database, in the tenant's context.
async fn list(Tenant(ctx): Tenant, state: axum::extract::State<AppState>) -> Result<String, Error> {
    let mut tx = state.db.read(&ctx).await?;
    let members: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.memberships")
        .fetch_one(&mut *tx)
        .await?;
    Ok(format!("{members} members"))
}

async fn purge(Tenant(ctx): Tenant, Allowed(granted): Allowed<perm::TemplatesPurge>) -> String {
    format!("{}", granted.covers(&ctx))
}

fn routes(world: &World, authz: Arc<PgAuthorizer>) -> Result<Router> {
    let gate = Gate::new(authz.clone()).with_registry(&definitions());
    let state = AppState {
        db: world.db.app.clone(),
        authorizer: authz,
    };
    Ok(Router::new()
        .route(
            "/templates",
            get(list).layer(gate.require_permission("templates.read")?),
        )
        .route(
            "/typed",
            get(list).layer(gate.require(perm::TemplatesPurge::get())),
        )
        .route("/purge", get(purge))
        .with_state(state))
}

pub(crate) fn app(world: &World, authz: Arc<PgAuthorizer>) -> Result<Router> {
    let source = TenantSource::Header("x-tenant".to_owned());
    let tenants = TenantLayer::new(world.db.app.clone(), Arc::new(TestLogin), [source]);
    Ok(routes(world, authz)?.layer(tenants))
}

pub(crate) async fn call(
    app: &Router,
    path: &str,
    ctx: Option<&TenantCtx>,
) -> Result<(StatusCode, String, String)> {
    let mut request = Request::builder().uri(path);
    if let Some(ctx) = ctx {
        request = request
            .header("authorization", format!("Bearer {}", user(ctx)))
            .header("x-tenant", ctx.tenant().to_string());
    }
    let response = app.clone().oneshot(request.body(Body::empty())?).await?;
    let kind = response
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().map(ToOwned::to_owned));
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((
        status,
        kind.transpose()?.unwrap_or_default(),
        String::from_utf8(body.to_vec())?,
    ))
}

#[tokio::test]
async fn without_the_permission_403_and_exactly_one_entry_with_it_200() -> Result {
    let world = World::new().await?;
    let app = app(&world, world.authz.clone())?;
    let (reader, nobody) = (
        world.member(&["viewer"]).await?,
        world.member(&["viewer"]).await?,
    );
    world
        .roles
        .unassign(&world.owner, user(&nobody), &crate::support::role("viewer"))
        .await?;

    let (status, _, body) = call(&app, "/templates", Some(&reader)).await?;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "3 members"));
    assert!(world.audit.of("access.denied").is_empty());

    let (status, kind, body) = call(&app, "/templates", Some(&nobody)).await?;
    assert_eq!(
        (status, kind.as_str()),
        (StatusCode::FORBIDDEN, "application/problem+json")
    );
    let problem: Value = serde_json::from_str(&body)?;
    assert_eq!(problem["code"], "permission_denied");
    assert_eq!(problem["status"], 403);
    assert_eq!(problem["title"], "Forbidden");
    assert_eq!(problem["detail"], "permission `templates.read` is missing");

    let denials = world.audit.of("access.denied");
    assert_eq!(denials.len(), 1);
    assert_eq!(denials[0].tenant, nobody.tenant());
    assert_eq!(denials[0].principal, *nobody.principal());
    assert_eq!(denials[0].event.outcome, tenancy_core::Outcome::Denied);
    assert_eq!(denials[0].event.targets[0].id, "templates.read");
    assert_eq!(denials[0].event.meta["reason"], "not_granted");

    // The planted fault: without the guard the same request reaches the handler.
    let source = TenantSource::Header("x-tenant".to_owned());
    let state = AppState {
        db: world.db.app.clone(),
        authorizer: world.authz.clone(),
    };
    let open = Router::new()
        .route("/templates", get(list))
        .with_state(state)
        .layer(TenantLayer::new(
            world.db.app.clone(),
            Arc::new(TestLogin),
            [source],
        ));
    assert_eq!(
        call(&open, "/templates", Some(&nobody)).await?.0,
        StatusCode::OK
    );
    Ok(())
}

#[tokio::test]
async fn the_extractor_and_the_typed_layer_guard_alike() -> Result {
    let world = World::new().await?;
    let app = app(&world, world.authz.clone())?;
    let reader = world.member(&["viewer"]).await?;
    for path in ["/purge", "/typed"] {
        let before = world.audit.of("access.denied").len();
        assert_eq!(
            call(&app, path, Some(&reader)).await?.0,
            StatusCode::FORBIDDEN,
            "{path}"
        );
        assert_eq!(world.audit.of("access.denied").len(), before + 1, "{path}");
        assert_eq!(
            call(&app, path, Some(&world.owner)).await?.0,
            StatusCode::OK,
            "{path}"
        );
        assert_eq!(world.audit.of("access.denied").len(), before + 1, "{path}");
    }
    assert_eq!(call(&app, "/purge", Some(&world.owner)).await?.2, "true");
    Ok(())
}

#[tokio::test]
async fn without_a_context_401_and_of_another_tenant_404() -> Result {
    let world = World::new().await?;
    let app = app(&world, world.authz.clone())?;
    assert_eq!(
        call(&app, "/templates", None).await?.0,
        StatusCode::UNAUTHORIZED
    );
    // Also where no layer made a context at all.
    let bare = routes(&world, world.authz.clone())?;
    for path in ["/templates", "/purge"] {
        let (status, kind, _) = call(&bare, path, Some(&world.owner)).await?;
        assert_eq!(
            (status, kind.as_str()),
            (StatusCode::UNAUTHORIZED, "application/problem+json")
        );
    }
    let request = Request::builder()
        .uri("/templates")
        .header(
            "authorization",
            format!("Bearer {}", user(&world.other_owner)),
        )
        .header("x-tenant", world.owner.tenant().to_string());
    let response = app.oneshot(request.body(Body::empty())?).await?;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(world.audit.of("access.denied").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_none_fails_when_the_router_is_built() -> Result {
    let world = World::new().await?;
    let gate = Gate::new(world.authz.clone());
    for bad in [
        "",
        "templates",
        "Templates.Read",
        "templates read",
        "templates.read'; --",
    ] {
        let refused = gate.require_permission(bad).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{bad}");
    }
    gate.require_permission("templates.reed")?;
    let strict = gate.with_registry(&definitions());
    let refused = strict.require_permission("templates.reed").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionUnknown);
    strict.require_permission("templates.read")?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_503_and_no_denial() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let own = TenantDb::connect(world.db.server.app_url()).await?;
    let bound = std::time::Duration::from_millis(50);
    let options = AuthzOptions::default().with_bound(bound);
    let authz = authorizer(&own, &world.audit, options);
    let app = app(&world, authz.clone())?;
    assert_eq!(
        call(&app, "/templates", Some(&reader)).await?.0,
        StatusCode::OK
    );

    own.close().await;
    tokio::time::sleep(bound).await;
    // Who holds it and who does not, of a layer and of an extractor alike.
    for path in ["/templates", "/typed", "/purge"] {
        for asking in [&reader, &world.owner] {
            let (status, kind, body) = call(&app, path, Some(asking)).await?;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {body}");
            assert_eq!(kind, "application/problem+json");
        }
    }
    assert!(
        world.audit.of("access.denied").is_empty(),
        "nobody was denied anything"
    );
    let error = authz.require_key(&reader, &READ).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (CoreKind::Unavailable, "authorization_unavailable")
    );
    assert!(error.retry().is_retryable());
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_is_cut_off_is_unavailable_to_who_asks_in_it_and_no_denial() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let superuser = world.db.superuser().await?;
    for asking in ["check", "key", "type", "roles"] {
        // Of something he holds, and has been told so a moment ago.
        let mut tx = world.db.app.read(&reader).await?;
        world.authz.require_key_in(&mut tx, &READ).await?;
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *tx)
            .await?;
        sqlx::query("SELECT pg_terminate_backend($1, 10000)")
            .bind(backend)
            .execute(&superuser)
            .await?;
        let failed = match asking {
            "check" => world.authz.check_in(&mut tx, &READ).await.map(drop),
            "key" => world.authz.require_key_in(&mut tx, &READ).await,
            "type" => {
                let read = perm::TemplatesRead::get();
                world.authz.require_in(&mut tx, read).await.map(drop)
            }
            _ => world.authz.roles_in(&mut tx).await.map(drop),
        };
        assert_eq!(
            failed.map_err(|error| (error.kind(), error.code())),
            Err((CoreKind::Unavailable, "authorization_unavailable")),
            "{asking}"
        );
    }
    assert!(world.audit.of("access.denied").is_empty());
    Ok(())
}

#[tokio::test]
async fn in_code_each_denial_is_recorded_once_and_outlives_the_rollback() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let granted = world
        .authz
        .require(&reader, perm::TemplatesRead::get())
        .await?;
    assert!(granted.covers(&reader) && !granted.covers(&world.owner));

    let denied = world
        .authz
        .require(&reader, perm::TemplatesPurge::get())
        .await
        .unwrap_err();
    assert_eq!(denied.kind(), CoreKind::Denied);
    assert_eq!(world.audit.of("access.denied").len(), 1);
    let mut tx = world.db.app.write(&reader).await?;
    let purge = perm::TemplatesPurge::get();
    assert!(world.authz.require_in(&mut tx, purge).await.is_err());
    tx.rollback().await?;
    assert_eq!(world.audit.of("access.denied").len(), 2);

    // A service has what it brings; asking without requiring leaves no entry.
    let key = ServiceKey::from_static("importer");
    let service = world
        .db
        .app
        .enter_system(reader.tenant(), key, vec![READ])
        .await?;
    world.authz.require_key(&service, &READ).await?;
    assert!(!world.authz.check(&service, &PURGE).await?.is_allowed());
    assert_eq!(world.audit.of("access.denied").len(), 2);
    assert!(world.authz.require_key(&service, &PURGE).await.is_err());
    let unheard = PermissionKey::from_static("no.such");
    assert!(world.authz.require_key(&reader, &unheard).await.is_err());
    let denials = world.audit.of("access.denied");
    let reasons: Vec<_> = denials
        .iter()
        .map(|denial| denial.event.meta["reason"].clone())
        .collect();
    assert_eq!(
        reasons,
        [
            "not_granted",
            "not_granted",
            "not_granted",
            "unknown_permission"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_on_record_all_the_same() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let slow = Arc::new(SlowAudit(world.audit.clone()));
    let authz = PgAuthorizer::new(world.db.app.clone(), slow);
    authz.check(&reader, &PURGE).await?;
    let soon = std::time::Duration::from_millis(20);
    assert!(
        tokio::time::timeout(soon, authz.require_key(&reader, &PURGE))
            .await
            .is_err()
    );
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(world.audit.of("access.denied").len(), 1);
    Ok(())
}

/// Takes its time.
struct SlowAudit(MemoryAudit);

#[async_trait]
impl AuditSink for SlowAudit {
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), Error> {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        self.0.record(ctx, event).await
    }

    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<Kept, Error> {
        self.0.record_in(tx, event).await
    }
}
