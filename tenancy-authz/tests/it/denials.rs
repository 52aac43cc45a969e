//! Every way to be denied leaves exactly one entry; who is no member any more is told what a stranger is.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode};
use tenancy_authz::{
    AuthzOptions, ErrorKind, PgAuthorizer, grpc,
    http::{Allowed, Gate},
};
use tenancy_core::{
    Authorizer, AuthorizerExt as _, ErrorKind as CoreKind, Granted, Members, TenantCtx,
    http::Problem,
};
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{PURGE, READ, Result, WRITE, World, authorizer, perm, user};

/// What a way to ask answers somebody who is denied: the status of HTTP, or the code of gRPC.
#[derive(Debug, Eq, PartialEq)]
enum Told {
    Http(u16),
    Grpc(Code),
    Kind(CoreKind),
}

/// Every way to ask, by its name.
const WAYS: &[&str] = &[
    "extractor",
    "layer of axum by key",
    "layer of axum by type",
    "layer of tower",
    "layer of tonic",
    "method of tonic",
    "function by type",
    "function by key",
    "function over the port",
    "in a transaction by type",
    "in a transaction by key",
    "proof",
    "all of one",
    "all of several",
    "any of one",
    "any of several",
    "a service that asks",
    "a review that asks",
];

async fn purge(_: Allowed<perm::TemplatesPurge>) {}

async fn over_http(router: Router, ctx: &TenantCtx) -> Result<Told> {
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(ctx.clone());
    let response = router.oneshot(request).await?;
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    Ok(Told::Http(response.status().as_u16()))
}

async fn ask(world: &World, authz: &Arc<PgAuthorizer>, way: &str, ctx: &TenantCtx) -> Result<Told> {
    let gate = Gate::new(authz.clone());
    let (typed, port): (_, Arc<dyn Authorizer>) = (perm::TemplatesPurge::get(), authz.clone());
    let core = |error: tenancy_core::Error| Told::Kind(error.kind());
    let ours = |error: tenancy_authz::Error| Told::Kind(tenancy_core::Error::from(error).kind());
    let open = || get(async || "open");
    let refused = "it has to be refused";
    Ok(match way {
        "extractor" => {
            let router = Router::new().route("/", get(purge)).with_state(port);
            over_http(router, ctx).await?
        }
        "layer of axum by key" => {
            let guard = gate.require_permission("templates.purge")?;
            over_http(Router::new().route("/", open().layer(guard)), ctx).await?
        }
        "layer of axum by type" => {
            let router = Router::new().route("/", open()).layer(gate.require(typed));
            over_http(router, ctx).await?
        }
        "layer of tower" => {
            let inner = service_fn(async |_: Request<()>| {
                Ok::<_, Infallible>(http::Response::new("open".to_owned()))
            });
            let mut request = Request::new(());
            request.extensions_mut().insert(ctx.clone());
            let response = gate.require(typed).layer(inner).oneshot(request).await?;
            Told::Http(response.status().as_u16())
        }
        "layer of tonic" => {
            let inner = service_fn(async |_: Request<tonic::body::Body>| {
                Ok::<_, Infallible>(http::Response::new(tonic::body::Body::empty()))
            });
            let mut request = Request::new(tonic::body::Body::empty());
            request.extensions_mut().insert(ctx.clone());
            let guard = gate.require(typed).for_grpc();
            let response = guard.layer(inner).oneshot(request).await?;
            let status = Status::from_header_map(response.headers()).ok_or(refused)?;
            Told::Grpc(status.code())
        }
        "method of tonic" => {
            let mut request = tonic::Request::new(());
            request.extensions_mut().insert(ctx.clone());
            let status = grpc::require(&*port, &request, typed)
                .await
                .err()
                .ok_or(refused)?;
            Told::Grpc(status.code())
        }
        "function by type" => core(authz.require(ctx, typed).await.err().ok_or(refused)?),
        "function by key" => core(authz.require_key(ctx, &PURGE).await.err().ok_or(refused)?),
        "function over the port" => core(port.require(ctx, typed).await.err().ok_or(refused)?),
        "in a transaction by type" => {
            let mut tx = world.db.app.aside(ctx).await?;
            core(port.require_in(&mut tx, typed).await.err().ok_or(refused)?)
        }
        "in a transaction by key" => {
            let mut tx = world.db.app.aside(ctx).await?;
            core(
                port.require_key_in(&mut tx, &PURGE)
                    .await
                    .err()
                    .ok_or(refused)?,
            )
        }
        "proof" => core(
            Granted::required(&**authz, ctx, typed)
                .await
                .err()
                .ok_or(refused)?,
        ),
        "all of one" => ours(
            authz
                .require_all(ctx, &[PURGE])
                .await
                .err()
                .ok_or(refused)?,
        ),
        "all of several" => ours(
            authz
                .require_all(ctx, &[READ, WRITE, PURGE])
                .await
                .err()
                .ok_or(refused)?,
        ),
        "any of one" => ours(
            authz
                .require_any(ctx, &[PURGE])
                .await
                .err()
                .ok_or(refused)?,
        ),
        "any of several" => ours(
            authz
                .require_any(ctx, &[PURGE, WRITE])
                .await
                .err()
                .ok_or(refused)?,
        ),
        "a service that asks" => {
            let roles = tenancy_authz::Roles::new(
                world.db.app.clone(),
                authz.clone(),
                Arc::new(world.audit.clone()),
            );
            let key = crate::support::role("viewer");
            ours(roles.delete(ctx, &key).await.err().ok_or(refused)?)
        }
        "a review that asks" => {
            let roles = tenancy_authz::Roles::new(
                world.db.app.clone(),
                authz.clone(),
                Arc::new(world.audit.clone()),
            );
            ours(roles.export(ctx).await.err().ok_or(refused)?)
        }
        other => return Err(format!("no such way: {other}").into()),
    })
}

#[tokio::test]
async fn each_way_to_be_denied_leaves_exactly_one_entry() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    for way in WAYS {
        // From the database, and from memory.
        for _ in 0..2 {
            let before = world.audit.entries().len();
            let told = ask(&world, &world.authz, way, &reader).await?;
            let expected = match told {
                Told::Http(_) => Told::Http(403),
                Told::Grpc(_) => Told::Grpc(Code::PermissionDenied),
                Told::Kind(_) => Told::Kind(CoreKind::Denied),
            };
            assert_eq!(told, expected, "{way}");
            let entries = world.audit.entries();
            assert_eq!(entries.len(), before + 1, "{way}");
            let last = &entries[before];
            assert_eq!(last.event.action, "access.denied", "{way}");
            assert_eq!(last.event.meta["reason"], "not_granted", "{way}");
            assert_eq!(
                (last.tenant, &last.principal),
                (reader.tenant(), reader.principal()),
                "{way}"
            );
            assert!(!last.event.targets.is_empty(), "{way}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_is_no_member_any_more_is_told_what_a_stranger_is_and_is_on_record() -> Result {
    let world = World::new().await?;
    let gone = world.member(&["viewer"]).await?;
    let audit = Arc::new(world.audit.clone());
    Members::new(
        world.db.app.clone(),
        world.authz.clone(),
        world.authz.clone(),
        audit,
    )
    .remove(&world.owner, user(&gone))
    .await?;
    // His request was let in before, and goes on.
    let fresh = authorizer(&world.db.app, &world.audit, AuthzOptions::default());
    for way in WAYS {
        for _ in 0..2 {
            let before = world.audit.of("access.denied").len();
            let told = ask(&world, &fresh, way, &gone).await?;
            let expected = match told {
                Told::Http(_) => Told::Http(404),
                Told::Grpc(_) => Told::Grpc(Code::NotFound),
                Told::Kind(_) => Told::Kind(CoreKind::NotAMember),
            };
            assert_eq!(told, expected, "{way}");
            let denials = world.audit.of("access.denied");
            assert_eq!(denials.len(), before + 1, "{way}");
            assert_eq!(
                denials[before].event.meta["reason"], "not_a_member",
                "{way}"
            );
        }
    }
    let error = fresh.require_key(&gone, &PURGE).await.unwrap_err();
    assert!(
        error.is_on_record(),
        "a layer that records requests leaves it at that"
    );
    assert!(
        !error.to_string().contains("templates"),
        "he is not told what is asked for: {error}"
    );
    let problem = Problem::from(&error);
    assert_eq!(
        (problem.status(), problem.code()),
        (StatusCode::NOT_FOUND.as_u16(), "not_a_member")
    );
    let error = fresh.require_all(&gone, &[READ, PURGE]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Core(CoreKind::NotAMember));
    assert!(!error.to_string().contains("templates"), "{error}");
    Ok(())
}
