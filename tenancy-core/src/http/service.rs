//! The service behind the layers: who may pass goes on, and who may not is answered here.

use std::{
    fmt,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use http::{Request, Response, request::Parts};
use tower_service::Service;

use super::{correlation::Correlation, problem::Problem};
use crate::Error;

/// Decides who passes, and notes what it found out in the request's extensions.
#[async_trait]
pub(super) trait Pass: Clone + Send + Sync + 'static {
    /// An error is answered as its problem, and the request goes no further.
    async fn pass(&self, parts: &mut Parts, correlation: &Correlation) -> Result<(), Error>;
}

/// A service that asks its layer about each request.
#[derive(Clone)]
pub struct LayerService<S, L> {
    inner: S,
    layer: L,
}

impl<S, L> LayerService<S, L> {
    pub(super) fn new(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }
}

impl<S, L, A, B> Service<Request<A>> for LayerService<S, L>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    L: Pass,
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
        // The one that was polled ready; a clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let correlation = Correlation::of(&mut parts);
            let answering = async move {
                match layer.pass(&mut parts, &correlation).await {
                    Ok(()) => inner.call(Request::from_parts(parts, body)).await,
                    Err(error) => Ok(Problem::logged(&error).respond()),
                }
            };
            correlation.answer(correlation.span(), answering).await
        })
    }
}

impl<S, L: fmt::Debug> fmt::Debug for LayerService<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerService")
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
