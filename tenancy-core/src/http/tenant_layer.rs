//! From a caller to a tenant context.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::request::Parts;
use tower_layer::Layer;
use tracing::Span;

use super::{
    correlation::Correlation,
    layer::identify,
    service::{LayerService, Pass},
    source::{Named, TenantSource, resolve},
};
use crate::{
    Authenticate, CallerKind, Error, Identity, PlatformEvent, PlatformEventKind, TenantCtx,
    TenantDb, TenantId,
};

/// Lets only members and keys of the tenant that the request names through, and puts the
/// [`TenantCtx`] into the request's extensions.
///
/// The tenant has to be named by one of the sources: there is no default. Where several name one,
/// all have to name the same. Who is no member learns nothing: whether the tenant exists, whether
/// it was deleted, and whether two names belong to one tenant are all answered with the same 404,
/// after the same statements.
///
/// ```
/// # use std::{convert::Infallible, sync::Arc};
/// # use http::{Request, Response};
/// # use tenancy_core::{Authenticate, TenantCtx, TenantDb, http::{TenantLayer, TenantSource}};
/// # use tower::{Layer as _, Service, service_fn};
/// // Any stack of tower services: here plain `http` types with a text as the body.
/// fn stack(db: TenantDb, login: Arc<dyn Authenticate>)
/// -> impl Service<Request<String>, Response = Response<String>, Error = Infallible> {
///     let tenants = TenantLayer::new(db, login, [TenantSource::Segment("/t/".into())]);
///     tenants.layer(service_fn(async |request: Request<String>| {
///         let tenant = request.extensions().get::<TenantCtx>().map(TenantCtx::tenant);
///         Ok(Response::new(format!("{tenant:?}")))
///     }))
/// }
/// ```
#[derive(Clone)]
pub struct TenantLayer {
    db: TenantDb,
    authenticate: Arc<dyn Authenticate>,
    sources: Arc<[TenantSource]>,
}

impl TenantLayer {
    /// Asks this authenticator, and finds the tenant in these places.
    pub fn new(
        db: TenantDb,
        authenticate: Arc<dyn Authenticate>,
        sources: impl IntoIterator<Item = TenantSource>,
    ) -> Self {
        Self {
            db,
            authenticate,
            sources: sources.into_iter().collect(),
        }
    }

    async fn admit(&self, identity: &Identity, tenant: TenantId) -> Result<TenantCtx, Error> {
        match &identity.caller {
            CallerKind::User(user) => self.db.enter(tenant, *user).await,
            CallerKind::ApiKey {
                tenant: own,
                principal,
            } if *own == tenant => self.db.enter_as(tenant, principal.clone()).await,
            CallerKind::ApiKey { principal, .. } => {
                let error = Error::not_a_member();
                let event = PlatformEvent::new(PlatformEventKind::EnterRefused, error.code());
                let event = event.with_tenant(tenant).with_actor(principal);
                self.db.platform_log().note(event);
                Err(error)
            }
        }
    }
}

impl<S> Layer<S> for TenantLayer {
    type Service = TenantService<S>;

    fn layer(&self, inner: S) -> TenantService<S> {
        LayerService::new(inner, self.clone())
    }
}

/// The service of [`TenantLayer`].
pub type TenantService<S> = LayerService<S, TenantLayer>;

#[async_trait]
impl Pass for TenantLayer {
    async fn pass(&self, parts: &mut Parts, correlation: &Correlation) -> Result<(), Error> {
        let identity =
            identify(parts, &*self.authenticate, Some(&**self.db.platform_log())).await?;
        let named = resolve(&self.sources, parts, &identity, &self.db).await?;
        let ctx = self.admit(&identity, named.tenant()).await?;
        // Told only to those who are in the first one: see `Named`.
        if let Named::Several(_) = named {
            let message = "the request names two different tenants";
            return Err(Error::invalid("tenant_ambiguous", message));
        }
        Span::current().record("tenant", tracing::field::display(ctx.tenant()));
        let ctx = ctx
            .with_request_id(correlation.request)
            .with_trace(correlation.trace.trace());
        parts.extensions.insert(ctx);
        Ok(())
    }
}

impl fmt::Debug for TenantLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantLayer")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}
