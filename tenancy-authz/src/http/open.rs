//! Routes that no permission guards, said aloud.

use std::{
    fmt,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::gate::{context, ready};

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
        OpenService {
            inner,
            open: self.0,
        }
    }
}

/// The service of [`Open`].
#[derive(Clone)]
pub struct OpenService<S> {
    inner: S,
    open: OpenTo,
}

impl<S, A, B> Service<Request<A>> for OpenService<S>
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
        let (mut inner, open) = (ready(&mut self.inner), self.open);
        Box::pin(async move {
            if open == OpenTo::Members
                && let Err(problem) = context(request.extensions())
            {
                return Ok(problem.respond());
            }
            let mut response = inner.call(request).await?;
            response.extensions_mut().insert(open);
            Ok(response)
        })
    }
}

impl<S> fmt::Debug for OpenService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenService({:?})", self.open)
    }
}
