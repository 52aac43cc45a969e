//! The guard of routes.

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use tenancy_core::{
    Authorizer, InvalidInput, Permission, PermissionDef, PermissionKey, TenantCtx, http::Problem,
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Error, ErrorKind};

/// Makes the guards of a router.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use axum::{Router, routing::get};
/// # use tenancy_authz::{PgAuthorizer, http::Gate};
/// # async fn list() {}
/// # async fn remove() {}
/// # fn router(authz: Arc<PgAuthorizer>) -> Result<Router, tenancy_authz::Error> {
/// let gate = Gate::new(authz);
/// Ok(Router::new()
///     .route("/templates", get(list).layer(gate.require_permission("templates.read")?))
///     .route("/templates/{id}", get(remove).layer(gate.require_permission("templates.write")?)))
/// # }
/// ```
#[derive(Clone)]
pub struct Gate {
    authorizer: Arc<dyn Authorizer>,
    known: Option<HashSet<&'static str>>,
}

impl Gate {
    /// Asks this authorizer.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            authorizer,
            known: None,
        }
    }

    /// Refuses keys that none of these definitions has; may be called several times.
    pub fn with_registry(mut self, permissions: &[PermissionDef]) -> Self {
        let keys = permissions.iter().map(|permission| permission.key);
        self.known.get_or_insert_default().extend(keys);
        self
    }

    /// A layer that lets only those through who hold the permission.
    ///
    /// Put it on a route or on a method of one, so that it guards the handler and not a path.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a text that is no key,
    /// [`PermissionUnknown`](ErrorKind::PermissionUnknown) for a key that is in no registry that
    /// was given: when the router is built, not when the first request comes.
    pub fn require_permission(&self, key: &str) -> Result<RequirePermission, Error> {
        let permission = PermissionKey::parse(key)?;
        if self
            .known
            .as_ref()
            .is_some_and(|known| !known.contains(key))
        {
            let message = format!(
                "no definition has the permission `{}`",
                InvalidInput::quote(key)
            );
            return Err(Error::new(
                ErrorKind::PermissionUnknown,
                "permission_unknown",
                message,
            ));
        }
        Ok(RequirePermission {
            authorizer: self.authorizer.clone(),
            permission,
        })
    }

    /// The same for a permission as a type, which can't be misspelt.
    pub fn require<P: Permission>(&self, _: P) -> RequirePermission {
        RequirePermission {
            authorizer: self.authorizer.clone(),
            permission: P::KEY,
        }
    }
}

/// A layer that lets only those through who hold a permission; made by [`Gate`].
///
/// It takes any stack of tower services over the types of `http`, axum's among them.
#[derive(Clone)]
pub struct RequirePermission {
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) permission: PermissionKey,
}

impl RequirePermission {
    async fn pass(&self, ctx: Result<TenantCtx, Problem>) -> Result<(), Problem> {
        let ctx = ctx?;
        self.authorizer
            .require_key(&ctx, &self.permission)
            .await
            .map_err(|error| problem(&error))
    }
}

impl<S> Layer<S> for RequirePermission {
    type Service = RequirePermissionService<S>;

    fn layer(&self, inner: S) -> RequirePermissionService<S> {
        RequirePermissionService {
            inner,
            guard: self.clone(),
        }
    }
}

/// The service of [`RequirePermission`].
#[derive(Clone)]
pub struct RequirePermissionService<S> {
    inner: S,
    guard: RequirePermission,
}

impl<S, A, B> Service<Request<A>> for RequirePermissionService<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    A: Send + 'static,
    B: From<String>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut inner = ready(&mut self.inner);
        let guard = self.guard.clone();
        let ctx = context(request.extensions());
        Box::pin(async move {
            match guard.pass(ctx).await {
                Ok(()) => inner.call(request).await,
                Err(problem) => Ok(problem.respond()),
            }
        })
    }
}

/// The service that was polled ready is the one to call; a clone takes its place.
pub(crate) fn ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}

/// The context of the request; 401 without one.
pub(super) fn context(extensions: &http::Extensions) -> Result<TenantCtx, Problem> {
    extensions
        .get::<TenantCtx>()
        .cloned()
        .ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "log in first"))
}

pub(super) fn problem(error: &tenancy_core::Error) -> Problem {
    let problem = Problem::from(error);
    if problem.status() >= 500 {
        tracing::error!(%error, code = error.code(), "a guard could not decide");
    }
    problem
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RequirePermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequirePermission({})", self.permission)
    }
}

impl<S> fmt::Debug for RequirePermissionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequirePermissionService({})", self.guard.permission)
    }
}
