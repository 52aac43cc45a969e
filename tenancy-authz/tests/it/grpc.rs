//! Guards of services that speak gRPC.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tenancy_authz::{AuthzOptions, grpc, http::Gate};
use tenancy_core::{Authorizer, TenantCtx, TenantDb};
use tonic::{Code, Request, Status, body::Body};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{Result, World, authorizer, perm};

/// What a client of gRPC finds in the headers of a refusal.
fn status_of(response: &http::Response<Body>) -> Option<Status> {
    Status::from_header_map(response.headers())
}

/// Calls a service of tonic behind a guard for `templates.purge`, as this context.
async fn call(
    authz: Arc<dyn Authorizer>,
    ctx: Option<&TenantCtx>,
    reached: &Arc<AtomicU64>,
) -> Result<Option<Status>> {
    let reached = reached.clone();
    let inner = service_fn(move |_: http::Request<Body>| {
        reached.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(http::Response::new(Body::empty())) }
    });
    let guard = Gate::new(authz)
        .require(perm::TemplatesPurge::get())
        .for_grpc();
    let mut request = http::Request::new(Body::empty());
    *request.uri_mut() = "/host.Templates/Purge".parse()?;
    if let Some(ctx) = ctx {
        request.extensions_mut().insert(ctx.clone());
    }
    let response = guard.layer(inner).oneshot(request).await?;
    assert_eq!(response.status(), 200, "the status of gRPC is in a header");
    Ok(status_of(&response))
}

#[tokio::test]
async fn a_service_behind_the_layer_is_reached_by_who_may_and_each_denial_is_one_entry() -> Result {
    let world = World::new().await?;
    let (reader, reached) = (world.member(&["viewer"]).await?, Arc::default());
    let denied = call(world.authz.clone(), Some(&reader), &reached)
        .await?
        .ok_or("no status")?;
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(denied.message(), "permission `templates.purge` is missing");
    assert_eq!(world.audit.of("access.denied").len(), 1);

    let stranger = call(world.authz.clone(), None, &reached)
        .await?
        .ok_or("no status")?;
    assert_eq!(stranger.code(), Code::Unauthenticated);
    assert_eq!(
        reached.load(Ordering::SeqCst),
        0,
        "neither reached the service"
    );
    assert!(
        call(world.authz.clone(), Some(&world.owner), &reached)
            .await?
            .is_none()
    );
    assert_eq!(reached.load(Ordering::SeqCst), 1);
    assert_eq!(world.audit.of("access.denied").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_method_asks_by_itself_and_a_broken_database_is_unavailable() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let mut request = Request::new(());
    let purge = perm::TemplatesPurge::get();
    let nobody = grpc::require(&*world.authz, &request, purge)
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);

    request.extensions_mut().insert(reader.clone());
    let granted = grpc::require(&*world.authz, &request, perm::TemplatesRead::get()).await?;
    assert!(granted.covers(&reader));
    let denied = grpc::require(&*world.authz, &request, purge)
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(world.audit.of("access.denied").len(), 1);

    let own = TenantDb::connect(world.db.server.app_url()).await?;
    let broken = authorizer(&own, &world.audit, AuthzOptions::default());
    own.close().await;
    let unavailable = grpc::require(&*broken, &request, purge).await.unwrap_err();
    assert_eq!(unavailable.code(), Code::Unavailable);
    let unavailable = call(broken, Some(&reader), &Arc::default())
        .await?
        .ok_or("no status")?;
    assert_eq!(unavailable.code(), Code::Unavailable);
    assert_eq!(
        world.audit.of("access.denied").len(),
        1,
        "nobody was denied anything"
    );
    Ok(())
}
