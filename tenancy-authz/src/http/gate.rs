//! The guard of routes.

use std::{collections::HashSet, fmt, sync::Arc};

use http::StatusCode;
use tenancy_core::{
    Authorizer, InvalidInput, Permission, PermissionDef, PermissionKey, TenantCtx, http::Problem,
};
use tower_layer::Layer;

use super::guarded::{Guard, GuardedService};
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

impl<S> Layer<S> for RequirePermission {
    type Service = RequirePermissionService<S>;

    fn layer(&self, inner: S) -> RequirePermissionService<S> {
        GuardedService::new(inner, self.clone())
    }
}

/// The service of [`RequirePermission`].
pub type RequirePermissionService<S> = GuardedService<S, RequirePermission>;

impl Guard for RequirePermission {
    type Refusal = Problem;

    async fn pass(&self, ctx: Option<TenantCtx>) -> Result<(), Problem> {
        let ctx = logged_in(ctx)?;
        let asked = self.authorizer.require_key(&ctx, &self.permission);
        asked.await.map_err(|error| problem(&error))
    }
}

/// The context of the request; 401 without one.
pub(super) fn logged_in(ctx: Option<TenantCtx>) -> Result<TenantCtx, Problem> {
    ctx.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "log in first"))
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
