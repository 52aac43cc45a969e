//! From a request to a caller, and from a caller to a tenant context.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use futures_util::future::BoxFuture;
use http::{HeaderValue, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::source::{TenantSource, resolve};
use crate::{Authenticate, Error, ErrorKind, Identity, RequestHead, RequestId, TenantDb};

const REQUEST_ID: &str = "x-request-id";

/// Lets only requests with a valid login through, and hands the [`Identity`] on. For routes that
/// belong to no tenant: the list of one's tenants, accepting an invitation.
#[derive(Clone)]
pub struct AuthLayer {
    authenticate: Arc<dyn Authenticate>,
}

impl AuthLayer {
    /// Asks this authenticator.
    pub fn new(authenticate: Arc<dyn Authenticate>) -> Self {
        Self { authenticate }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of [`AuthLayer`].
#[derive(Clone)]
pub struct AuthService<S> {
    inner: S,
    layer: AuthLayer,
}

impl<S> Service<Request> for AuthService<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut inner = ready(&mut self.inner);
        let authenticate = self.layer.authenticate.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match identify(&mut parts, &*authenticate).await {
                Ok(_) => inner.call(Request::from_parts(parts, body)).await,
                Err(error) => Ok(error.into_response()),
            }
        })
    }
}

/// Lets only members through, into the tenant that the request names, and hands the
/// [`TenantCtx`](crate::TenantCtx) on.
///
/// Takes over an `x-request-id` that is a uuid, or makes one, and sets it on the response.
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

    async fn enter(&self, parts: &mut Parts) -> Result<RequestId, Error> {
        let identity = identify(parts, &*self.authenticate).await?;
        let tenant = resolve(&self.sources, parts, &self.db).await?;
        let mut ctx = self.db.enter(tenant, identity.user).await?;
        let given = parts
            .headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok());
        if let Some(id) = given.and_then(|text| text.parse().ok()) {
            ctx = ctx.with_request_id(id);
        }
        let id = ctx.request_id();
        parts.extensions.insert(ctx);
        Ok(id)
    }
}

impl<S> Layer<S> for TenantLayer {
    type Service = TenantService<S>;

    fn layer(&self, inner: S) -> TenantService<S> {
        TenantService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of [`TenantLayer`].
#[derive(Clone)]
pub struct TenantService<S> {
    inner: S,
    layer: TenantLayer,
}

impl<S> Service<Request> for TenantService<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut inner = ready(&mut self.inner);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let id = match layer.enter(&mut parts).await {
                Ok(id) => id,
                Err(error) => return Ok(error.into_response()),
            };
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
                response.headers_mut().insert(REQUEST_ID, value);
            }
            Ok(response)
        })
    }
}

/// The service that was polled ready; a clone takes its place.
fn ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}

async fn identify(parts: &mut Parts, authenticate: &dyn Authenticate) -> Result<Identity, Error> {
    if let Some(known) = parts.extensions.get::<Identity>() {
        return Ok(known.clone());
    }
    let headers = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let head = RequestHead::new(parts.method.as_str(), &parts.uri.to_string(), headers);
    let identity = authenticate.authenticate(&head).await?.ok_or_else(|| {
        Error::new(
            ErrorKind::Unauthenticated,
            "unauthenticated",
            "log in first",
        )
    })?;
    parts.extensions.insert(identity.clone());
    Ok(identity)
}

impl std::fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthLayer")
    }
}

impl std::fmt::Debug for TenantLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantLayer")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

impl<S> std::fmt::Debug for AuthService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthService")
    }
}

impl<S> std::fmt::Debug for TenantService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TenantService")
    }
}
