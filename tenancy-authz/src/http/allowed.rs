//! The guard of handlers.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use tenancy_core::{Authorizer, AuthorizerExt as _, Granted, Permission, http::Problem};

use super::gate::{logged_in, problem};

/// An argument of a handler that only those reach who hold `P`; it brings the proof along.
///
/// The state of the router has to be the authorizer, or hold it with a `FromRef` that finds it.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use axum::{Router, routing::get};
/// # use tenancy_authz::{PgAuthorizer, http::Allowed, perm};
/// # use tenancy_core::{Authorizer, http::Tenant};
/// async fn list(Tenant(ctx): Tenant, Allowed(granted): Allowed<perm::RolesRead>) -> String {
///     assert!(granted.covers(&ctx));
///     format!("the roles of {}", ctx.tenant())
/// }
///
/// # fn router(authz: Arc<PgAuthorizer>) -> Router {
/// let authorizer: Arc<dyn Authorizer> = authz;
/// Router::new().route("/roles", get(list)).with_state(authorizer)
/// # }
/// ```
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an extractor is made to be taken apart"
)]
pub struct Allowed<P: Permission>(pub Granted<P>);

impl<P, S> FromRequestParts<S> for Allowed<P>
where
    P: Permission,
    S: Send + Sync,
    Arc<dyn Authorizer>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ctx = logged_in(parts.extensions.get().cloned())?;
        let authorizer = Arc::<dyn Authorizer>::from_ref(state);
        let granted = authorizer.require(&ctx, P::default()).await;
        granted.map(Self).map_err(|error| problem(&error))
    }
}
