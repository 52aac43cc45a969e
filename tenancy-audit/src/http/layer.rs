//! The layer and its service.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use futures_util::future::BoxFuture;
use http::Method;
use tenancy_core::{AuditSink, TenantCtx};
use tower_layer::Layer;
use tower_service::Service;

use super::{naming, note::AuditNote, origin, pending::Pending, route};

/// Names the action of a request from its method and route.
type Naming = Arc<dyn Fn(&Method, Option<&str>) -> String + Send + Sync>;

/// Records every request that may change something, found by its method: all but `GET`, `HEAD`,
/// `OPTIONS` and `TRACE`.
///
/// The entry has the action `http.post` (or `put`, `patch`, `delete`, `other`), the path as its
/// target, and the route, the status and the latency in `meta`. The path is put together from the
/// route's template: a parameter that may be a secret stays a placeholder, and the query is left
/// out. The outcome is `denied` for 401, 403 and 423, `error` for all other statuses from 400 on. A
/// handler that says more does so through [`AuditNote`].
///
/// A request that a guard denied leaves the guard's entry only.
///
/// The entry is written after the response is made and before it is sent, by a task of its own:
/// a caller who hangs up does not stop it. If he hangs up while the handler is running, or if the
/// handler panics, the entry says `aborted`: what the handler had done by then is not known.
///
/// Add it with `Router::layer` or `route_layer`, so that the route is known.
#[derive(Clone)]
pub struct AuditLayer {
    config: Arc<Config>,
}

pub(super) struct Config {
    pub(super) sink: Arc<dyn AuditSink>,
    pub(super) naming: Naming,
    pub(super) fails_request: bool,
}

impl AuditLayer {
    /// Records to this sink. An entry that can't be written is counted and logged.
    pub fn new(sink: Arc<dyn AuditSink>) -> Self {
        let naming: Naming = Arc::new(|method, _| naming::by_method(method));
        Self {
            config: Arc::new(Config {
                sink,
                naming,
                fails_request: false,
            }),
        }
    }

    /// Answers 503 if the entry can't be written. What the handler did stays done: a caller has to
    /// look before he tries again.
    pub fn fail_requests(self) -> Self {
        self.with(|config| config.fails_request = true)
    }

    /// Names actions from the method and the route's template, which is `None` outside a router.
    ///
    /// A name that is no action is refused by the sink, as any entry that can't be written.
    pub fn with_naming(
        self,
        naming: impl Fn(&Method, Option<&str>) -> String + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.naming = Arc::new(naming))
    }

    /// Names actions after the route: `POST /templates/{id}/send` is `templates.send.post`.
    pub fn named_by_route(self) -> Self {
        self.with_naming(naming::by_route)
    }

    fn with(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            sink: self.config.sink.clone(),
            naming: self.config.naming.clone(),
            fails_request: self.config.fails_request,
        };
        change(&mut config);
        Self {
            config: Arc::new(config),
        }
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = AuditService<S>;

    fn layer(&self, inner: S) -> AuditService<S> {
        AuditService {
            inner,
            config: self.config.clone(),
        }
    }
}

/// The service of [`AuditLayer`].
#[derive(Clone)]
pub struct AuditService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> Service<Request> for AuditService<S>
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
        // The service that was polled ready; a clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let config = self.config.clone();
        let ctx = request.extensions().get::<TenantCtx>().cloned();
        let Some(ctx) = ctx.filter(|_| may_change(request.method())) else {
            return Box::pin(inner.call(request));
        };
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let note = AuditNote::default();
            let route = route::of(&mut parts).await;
            let action = (config.naming)(&parts.method, route.template());
            let origin = origin::of(&parts);
            parts.extensions.insert(note.clone());
            let pending = Pending::new(config, ctx, note, route, action, origin);
            let response = inner.call(Request::from_parts(parts, body)).await?;
            Ok(pending.finish(response).await)
        })
    }
}

/// Whether the method is not one of those that only read (RFC 9110, 9.2.1).
fn may_change(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

impl fmt::Debug for AuditLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLayer")
            .field("fails_request", &self.config.fails_request)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for AuditService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditService")
    }
}
