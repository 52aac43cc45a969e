//! The layer and its service.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Once},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body::Body;
use tenancy_core::{
    AuditSink, TenantCtx,
    http::{DenialRecorded, Problem},
};
use tokio::sync::watch;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::{AuditBody, Opened},
    length, naming,
    note::AuditNote,
    origin,
    pending::{End, Pending},
    route,
};

/// Names the action of a request from its method and route.
type Naming = Arc<dyn Fn(&Method, Option<&str>) -> String + Send + Sync>;
/// Finds the route's template in the head of a request.
type RouteOf = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
/// Finds the caller's address in the head of a request.
pub(super) type PeerOf = Arc<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// Records every request that may change something, found by its method: all but `GET`, `HEAD`,
/// `OPTIONS` and `TRACE`.
///
/// The entry has the action `http.post` (or `put`, `patch`, `delete`, `other`), the path as its
/// target, and the route, the status and the latency in `meta`. The path is put together from the
/// route's template, without the query. Of its parameters those are filled in that identify a row and
/// nobody: UUIDs, and numbers of up to six digits, unless their name is a secret's. All others stay
/// placeholders, since a target can't be erased with a person whose name, address or number stands in
/// it; with axum `with_parameters` names others that may stay for good. The outcome is
/// `denied` for 401, 403 and 423, `error` for all other statuses from 400 on. A handler that says more
/// does so through [`AuditNote`].
///
/// A request that a guard denied leaves the guard's entry only.
///
/// Each request leaves one entry, however it ends. It is written after the response is made and before it is
/// sent, by a task of its own, so that a caller who hangs up does not stop it. Of a response that is sent in
/// pieces it is written when the last piece is out, and before the caller sees the end; where the body or
/// `Content-Length` says how long it is, before the last of these bytes.
///
/// | how it ends | the entry's `meta` | outcome |
/// |---|---|---|
/// | answered | `status` | by the status |
/// | the caller hangs up, or stops reading | `aborted` | `error` |
/// | the handler or the body panics | `aborted`, `panicked` | `error` |
/// | the body breaks off with an error, or before its length | `status`, `body_failed` | `error` |
/// | the service gives an error and no response | `service_failed` | `error` |
///
/// What a handler that was aborted had done by then is not known.
///
/// # The order of layers
/// It stands inside of what puts the [`TenantCtx`] into the request, such as
/// [`TenantLayer`](tenancy_core::http::TenantLayer): in axum it is added before that one. A request that may change
/// something and comes without a context belongs to no tenant's log: it is passed on without an entry, counted in
/// `tenancy_audit_requests_without_tenant_total`, and the first of a process is warned of. That counter stays at zero
/// where the order is right and only routes of tenants are under the layer.
///
/// ```no_run
/// # #[cfg(feature = "axum")]
/// # mod host {
/// # use std::sync::Arc;
/// # use axum::{Router, routing::put};
/// # use tenancy_audit::http::AuditLayer;
/// # use tenancy_core::{AuditSink, http::TenantLayer};
/// # async fn rename() {}
/// fn routes(sink: Arc<dyn AuditSink>, tenants: TenantLayer) -> Router {
///     Router::new()
///         .route("/templates/{id}/name", put(rename))
///         .layer(AuditLayer::new(sink)) // inside
///         .layer(tenants) // outside: added last, asked first
/// }
/// # }
/// ```
///
/// # Other stacks
/// It is a tower layer over the types of `http`, for any body of [`Bytes`]. With the feature `axum` the
/// route and the caller's address are found by themselves, if it is added with `Router::layer` or
/// `route_layer`; elsewhere say where they are: [`with_route`](Self::with_route),
/// [`with_peer`](Self::with_peer).
#[derive(Clone)]
pub struct AuditLayer {
    config: Arc<Config>,
}

#[derive(Clone)]
pub(super) struct Config {
    pub(super) sink: Arc<dyn AuditSink>,
    pub(super) fails_request: bool,
    /// How many entries are being written.
    pub(super) writes: watch::Sender<usize>,
    naming: Naming,
    /// The parameters of routes that are filled in whatever they look like.
    parameters: Vec<String>,
    route: Option<RouteOf>,
    peer: Option<PeerOf>,
}

impl AuditLayer {
    /// Records to this sink. An entry that can't be written is counted and logged.
    pub fn new(sink: Arc<dyn AuditSink>) -> Self {
        let naming: Naming = Arc::new(|method, _| naming::by_method(method));
        Self {
            config: Arc::new(Config {
                sink,
                fails_request: false,
                writes: watch::Sender::new(0),
                naming,
                parameters: Vec::new(),
                route: None,
                peer: None,
            }),
        }
    }

    /// Answers 503 if the entry can't be written, or breaks off a response that is sent in pieces. What the
    /// handler did stays done: a caller has to look before he tries again.
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

    /// Fills in these parameters of routes, too, where they are identifiers: up to 27 letters, digits and `-_.`.
    /// Name such as say nothing about a person, such as the slug of a page: they stay in the log for good, whoever
    /// is erased. One whose name is a secret's stays a placeholder.
    ///
    /// ```
    /// # use tenancy_audit::http::AuditLayer;
    /// # use tenancy_core::NoAudit;
    /// # let audit = std::sync::Arc::new(NoAudit::new());
    /// // `PUT /pages/{slug}/authors/{name}`: `path:/pages/welcome/authors/{name}`
    /// let layer = AuditLayer::new(audit).with_parameters(["slug"]);
    /// # let _ = layer;
    /// ```
    #[cfg(feature = "axum")]
    pub fn with_parameters(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.with(|config| config.parameters.extend(names))
    }

    /// Finds the route's template, such as `/templates/{id}`, in the head of a request. It is the target as it
    /// is: give no path in which a person is named.
    pub fn with_route(
        self,
        route: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.route = Some(Arc::new(route)))
    }

    /// Finds the caller's address in the head of a request: behind a proxy that a host trusts, in the header
    /// that the proxy sets.
    pub fn with_peer(
        self,
        peer: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.peer = Some(Arc::new(peer)))
    }

    /// Waits until no entry is being written: for the end of the process, after the server has stopped. A
    /// request that was cut off is written by a task that nobody waits for.
    pub async fn settle(&self) {
        // The sender lives in `self`.
        let mut writes = self.config.writes.subscribe();
        let _ = writes.wait_for(|writes| *writes == 0).await;
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
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

impl<S, A, B> Service<Request<A>> for AuditService<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Send,
    S::Future: Send,
    A: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<AuditBody<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<AuditBody<B>>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        // The service that was polled ready; a clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let config = self.config.clone();
        let Some(ctx) = tenant_to_record(&mut request) else {
            let answering = inner.call(request);
            return Box::pin(async move { Ok(answering.await?.map(AuditBody::plain)) });
        };
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let note = AuditNote::default();
            let route = match &config.route {
                Some(template) => route::named(template(&parts)),
                None => route::of(&mut parts, &config.parameters).await,
            };
            let method = parts.method.clone();
            let action = (config.naming)(&method, route.template());
            let origin = origin::of(&parts, config.peer.as_ref());
            parts.extensions.insert(note.clone());
            let mut pending = Pending::new(config, ctx, note, route, action, origin);
            match inner.call(Request::from_parts(parts, body)).await {
                Ok(response) => Ok(answer(pending, &method, response).await),
                Err(error) => {
                    written(&mut pending, End::ServiceFailed).await;
                    Err(error)
                }
            }
        })
    }
}

/// The response, with its entry written or bound to its body.
async fn answer<B>(
    mut pending: Pending,
    method: &Method,
    response: Response<B>,
) -> Response<AuditBody<B>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if response.extensions().get::<DenialRecorded>().is_some() {
        pending.forget();
        return response.map(AuditBody::plain);
    }
    let (parts, body) = response.into_parts();
    pending.status = Some(parts.status);
    let opened = if length::has_body(method, parts.status) {
        Opened::of(body, length::announced(&parts.headers)).await
    } else {
        Opened::unsent(body)
    };
    let Some(end) = opened.end() else {
        return Response::from_parts(parts, opened.watched(pending));
    };
    let fails = pending.fails_request();
    if written(&mut pending, end).await || !fails {
        return Response::from_parts(parts, opened.written());
    }
    let message = "the request was carried out, but its audit entry could not be written";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "audit_unavailable", message).respond()
}

async fn written(pending: &mut Pending, end: End) -> bool {
    match pending.start(end) {
        Some(writing) => matches!(writing.await, Ok(true)),
        None => false,
    }
}

/// The context of a request that is to be recorded.
///
/// What is only read gets a note that goes nowhere: a handler for several methods does not have to know which of them
/// are recorded. Without a tenant there is none, so that a handler that has something to say fails, rather than being
/// heard by nobody.
fn tenant_to_record<A>(request: &mut Request<A>) -> Option<TenantCtx> {
    if !may_change(request.method()) {
        request.extensions_mut().insert(AuditNote::default());
        return None;
    }
    let ctx = request.extensions().get::<TenantCtx>().cloned();
    if ctx.is_none() {
        without_tenant();
    }
    ctx
}

/// Counts each, and warns once: a wrong order of layers would fill the log.
fn without_tenant() {
    static WARNED: Once = Once::new();
    metrics::counter!("tenancy_audit_requests_without_tenant_total").increment(1);
    WARNED.call_once(|| {
        tracing::warn!(
            "a request that may change something came to the audit layer without a tenant and leaves no entry: \
             the layer has to stand inside of the one that makes the context"
        );
    });
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
