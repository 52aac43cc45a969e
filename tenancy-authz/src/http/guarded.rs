//! The service behind every guard: who may pass goes on, and who may not is answered here.

use std::{
    fmt,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tenancy_core::{TenantCtx, http::Problem};
use tower_service::Service;

use super::open::OpenTo;

/// Decides who passes.
pub(crate) trait Guard: Clone + Send + Sync + 'static {
    /// What those are told who don't.
    type Refusal: Send;

    /// Nobody is logged in, where there is no context.
    fn pass(
        &self,
        ctx: Option<TenantCtx>,
    ) -> impl Future<Output = Result<(), Self::Refusal>> + Send;

    /// To whom it says that the route is open.
    fn open_to(&self) -> Option<OpenTo> {
        None
    }
}

/// What a refusal is as a response.
pub(crate) trait Refused<B> {
    fn answer(self) -> Response<B>;
}

impl<B: From<String>> Refused<B> for Problem {
    fn answer(self) -> Response<B> {
        self.respond()
    }
}

/// A service that asks its guard about each request.
#[derive(Clone)]
pub struct GuardedService<S, G> {
    inner: S,
    guard: G,
}

impl<S, G> GuardedService<S, G> {
    pub(crate) fn new(inner: S, guard: G) -> Self {
        Self { inner, guard }
    }
}

impl<S, G, A, B> Service<Request<A>> for GuardedService<S, G>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    G: Guard<Refusal: Refused<B>>,
    A: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        // The one that was polled ready; a clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let guard = self.guard.clone();
        let ctx = request.extensions().get::<TenantCtx>().cloned();
        Box::pin(async move {
            if let Err(refusal) = guard.pass(ctx).await {
                return Ok(refusal.answer());
            }
            let mut response = inner.call(request).await?;
            if let Some(open) = guard.open_to() {
                response.extensions_mut().insert(open);
            }
            Ok(response)
        })
    }
}

impl<S, G: fmt::Debug> fmt::Debug for GuardedService<S, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedService")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
