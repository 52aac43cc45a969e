//! Whatever refuses a request, the audit log has one entry of it: with the guards and services of
//! one crate, under the layer of another.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{FromRef, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tenancy_audit::{AuditQuery, AuditStore as _, PgAuditLog, PgAuditStore, http::AuditLayer};
use tenancy_authz::{
    NewRole, PgAuthorizer, RoleName, Roles,
    http::{Allowed, Gate},
    perm, sync_permissions, testing,
};
use tenancy_core::{
    Authorizer, AuthorizerExt as _, Email, Error, Invitations, NewInvitation, Outcome,
    PermissionKey, RoleKey, TenantCtx, TenantDb,
    http::{Tenant, TenantLayer, TenantSource},
    migrate::{CORE, Component},
    testing::TestLogin,
};
use tenancy_testkit::Db;
use tower::ServiceExt as _;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

const PARTS: &[&Component] = &[&CORE, &tenancy_audit::COMPONENT, &tenancy_authz::COMPONENT];
const READ: PermissionKey = PermissionKey::from_static("audit.read");
const ADMIN: RoleKey = RoleKey::from_static("admin");
const AUDITOR: RoleKey = RoleKey::from_static("auditor");

#[derive(Clone)]
struct App {
    db: TenantDb,
    authz: Arc<PgAuthorizer>,
    roles: Roles,
    invitations: Invitations,
}

impl FromRef<App> for Arc<dyn Authorizer> {
    fn from_ref(app: &App) -> Self {
        app.authz.clone()
    }
}

/// A host with a handler for each way to be refused, by whoever may not do it.
struct Host {
    _db: Db,
    router: Router,
    store: PgAuditStore,
    owner: TenantCtx,
    /// Manages roles, and holds nothing that he does not manage.
    manager: TenantCtx,
    /// Sees roles.
    viewer: TenantCtx,
}

impl Host {
    async fn new() -> Result<Self> {
        let db = Db::new(PARTS).await?;
        let known: Vec<_> = PARTS
            .iter()
            .flat_map(|part| part.permissions)
            .copied()
            .collect();
        sync_permissions(&db.operator, &known).await?;
        let audit = Arc::new(PgAuditLog::new(db.app.clone()));
        let authz = Arc::new(PgAuthorizer::new(db.app.clone(), audit.clone()));
        let roles = Roles::new(db.app.clone(), authz.clone(), audit.clone());
        let owner = testing::tenant(&db.app, &authz).await?;
        // Another tenant, which is to see none of it.
        testing::tenant(&db.app, &authz).await?;
        let auditor = NewRole::new(AUDITOR, RoleName::parse("Auditor")?).with_permission(READ);
        roles.create(&owner, auditor).await?;
        roles.revoke(&owner, &ADMIN, &READ).await?;
        let manager = testing::member(&db.app, &authz, &owner, &["admin"]).await?;
        let viewer = testing::member(&db.app, &authz, &owner, &["viewer"]).await?;
        let app = App {
            db: db.app.clone(),
            authz: authz.clone(),
            roles,
            invitations: Invitations::new(
                db.app.clone(),
                authz.clone(),
                authz.clone(),
                audit.clone(),
            ),
        };
        let source = TenantSource::Header("x-tenant".to_owned());
        let tenants = TenantLayer::new(db.app.clone(), Arc::new(TestLogin), [source]);
        let router = routes(app, &Gate::new(authz))?
            .layer(AuditLayer::new(audit))
            .layer(tenants);
        let store = PgAuditStore::new(db.app.clone());
        Ok(Self {
            _db: db,
            router,
            store,
            owner,
            manager,
            viewer,
        })
    }

    async fn call(
        &self,
        ctx: &TenantCtx,
        method: &Method,
        path: &str,
    ) -> Result<(StatusCode, String)> {
        let user = ctx.user().ok_or("a member is a user")?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {user}"))
            .header("x-tenant", ctx.tenant().to_string());
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty())?)
            .await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.to_vec())?))
    }

    /// The actions that are on record as refused, newest first.
    async fn refused(&self) -> Result<Vec<String>> {
        let query = AuditQuery::new()
            .with_outcome(Outcome::Denied)
            .with_limit(1_000);
        let page = self.store.search(&self.owner, &query).await?;
        Ok(page
            .entries
            .into_iter()
            .map(|entry| entry.action.clone())
            .collect())
    }
}

fn routes(app: App, gate: &Gate) -> Result<Router> {
    let done = async || "done";
    let gated = get(done).post(done);
    Ok(Router::new()
        .route(
            "/gate",
            gated.clone().layer(gate.require_permission("audit.read")?),
        )
        .route(
            "/typed",
            gated.layer(gate.require(perm::RolesManage::get())),
        )
        .route("/argument", get(argument).post(argument))
        .route("/code", get(code).post(code))
        .route("/transaction", get(transaction).post(transaction))
        .route("/service", post(service))
        .route("/grant", post(grant))
        .route("/invite", post(invite))
        .with_state(app))
}

async fn argument(Allowed(_): Allowed<perm::RolesManage>) -> &'static str {
    "done"
}

async fn code(Tenant(ctx): Tenant, State(app): State<App>) -> Result<&'static str, Error> {
    app.authz.require(&ctx, perm::RolesManage::get()).await?;
    Ok("done")
}

async fn transaction(Tenant(ctx): Tenant, State(app): State<App>) -> Result<&'static str, Error> {
    let mut tx = app.db.write(&ctx).await?;
    app.authz
        .require_in(&mut tx, perm::RolesManage::get())
        .await?;
    tx.commit().await?;
    Ok("done")
}

/// A service that asks by itself.
async fn service(Tenant(ctx): Tenant, State(app): State<App>) -> Response {
    let renamed = match RoleName::parse("Renamed") {
        Ok(name) => app.roles.rename(&ctx, &AUDITOR, name).await,
        Err(error) => Err(error.into()),
    };
    answer(renamed.err())
}

/// Giving what one does not hold.
async fn grant(Tenant(ctx): Tenant, State(app): State<App>) -> Response {
    answer(app.roles.grant(&ctx, &ADMIN, &READ).await.err())
}

/// The same, by the core's service.
async fn invite(Tenant(ctx): Tenant, State(app): State<App>) -> Response {
    let invited = async {
        let email = Email::parse("new@example.com")?;
        let invitation = NewInvitation::new(email, vec![AUDITOR]);
        app.invitations.invite(&ctx, invitation).await
    };
    answer(invited.await.err())
}

fn answer(error: Option<impl IntoResponse>) -> Response {
    match error {
        Some(error) => error.into_response(),
        None => "done".into_response(),
    }
}

#[tokio::test]
async fn whatever_refuses_a_request_leaves_exactly_one_entry() -> Result {
    let host = Host::new().await?;
    let (get, post) = (&Method::GET, &Method::POST);
    let mut expected = 0;
    for (who, method, path, code) in [
        (&host.viewer, get, "/gate", "permission_denied"),
        (&host.viewer, post, "/gate", "permission_denied"),
        (&host.viewer, get, "/typed", "permission_denied"),
        (&host.viewer, post, "/typed", "permission_denied"),
        (&host.viewer, get, "/argument", "permission_denied"),
        (&host.viewer, post, "/argument", "permission_denied"),
        (&host.viewer, get, "/code", "permission_denied"),
        (&host.viewer, post, "/code", "permission_denied"),
        (&host.viewer, get, "/transaction", "permission_denied"),
        (&host.viewer, post, "/transaction", "permission_denied"),
        (&host.viewer, post, "/service", "permission_denied"),
        (&host.manager, post, "/grant", "exceeds_own_permissions"),
        (&host.manager, post, "/invite", "exceeds_own_permissions"),
    ] {
        let (status, body) = host.call(who, method, path).await?;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {body}");
        assert!(
            body.contains(&format!("\"code\":\"{code}\"")),
            "{method} {path}: {body}"
        );
        expected += 1;
        let refused = host.refused().await?;
        assert_eq!(refused.len(), expected, "{method} {path}: {refused:?}");
        assert_eq!(refused[0], "access.denied", "{method} {path}");
    }
    for path in ["/gate", "/typed", "/argument", "/code", "/transaction"] {
        let (status, body) = host.call(&host.owner, post, path).await?;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "done"), "{path}");
    }
    assert_eq!(
        host.refused().await?.len(),
        expected,
        "with the permission there is none"
    );
    Ok(())
}
