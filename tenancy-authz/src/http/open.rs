//! Routes that no permission guards, said aloud.

use tenancy_core::{TenantCtx, http::Problem};
use tower_layer::Layer;

use super::{
    gate::logged_in,
    guarded::{Guard, GuardedService},
};

/// Says that a route is open to everybody, also to who is not logged in.
///
/// It guards nothing: it is for the reader, and for the check that finds routes which somebody
/// forgot to guard (`testing::RouteCheck`).
///
/// ```
/// # use axum::{Router, routing::get};
/// # use tenancy_authz::http::public;
/// let app: Router = Router::new().route("/health", get(async || "fine").layer(public()));
/// ```
pub fn public() -> Open {
    Open(OpenTo::Everybody)
}

/// Says that a route is open to every member of the tenant, whatever his roles: without a context
/// the answer is 401.
pub fn members_only() -> Open {
    Open(OpenTo::Members)
}

/// A layer that says to whom a route is open; made by [`public`] and [`members_only`].
#[derive(Clone, Copy, Debug)]
pub struct Open(OpenTo);

/// To whom; it is found in the extensions of a response, which no client sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OpenTo {
    Everybody,
    Members,
}

impl<S> Layer<S> for Open {
    type Service = OpenService<S>;

    fn layer(&self, inner: S) -> OpenService<S> {
        GuardedService::new(inner, *self)
    }
}

/// The service of [`Open`].
pub type OpenService<S> = GuardedService<S, Open>;

impl Guard for Open {
    type Refusal = Problem;

    async fn pass(&self, ctx: Option<TenantCtx>) -> Result<(), Problem> {
        match self.0 {
            OpenTo::Everybody => Ok(()),
            OpenTo::Members => logged_in(ctx).map(drop),
        }
    }

    fn open_to(&self) -> Option<OpenTo> {
        Some(self.0)
    }
}
