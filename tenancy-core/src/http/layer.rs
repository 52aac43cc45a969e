//! From a request to a caller.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response, header::AUTHORIZATION, request::Parts};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use super::{
    correlation::Correlation,
    problem::{Problem, UNAUTHENTICATED, no_login},
};
use crate::{
    Authenticate, CallerKind, Error, ErrorKind, Identity, PlatformEvent, PlatformEventKind,
    PlatformLog, RequestHead,
};

/// Lets only requests with a valid login through, and puts the [`Identity`] into the request's
/// extensions. For routes that belong to no tenant: the list of one's tenants, accepting an
/// invitation. An API key belongs to a tenant and is refused here, unless the host says otherwise.
#[derive(Clone)]
pub struct AuthLayer {
    authenticate: Arc<dyn Authenticate>,
    api_keys: bool,
    log: Option<Arc<dyn PlatformLog>>,
}

impl AuthLayer {
    /// Asks this authenticator.
    pub fn new(authenticate: Arc<dyn Authenticate>) -> Self {
        Self {
            authenticate,
            api_keys: false,
            log: None,
        }
    }

    /// Lets API keys through as well: where a [`TenantLayer`](super::TenantLayer) stands further
    /// in, or where the handlers know what a key may do.
    pub fn allow_api_keys(mut self) -> Self {
        self.api_keys = true;
        self
    }

    /// Notes refused logins there, as a [`TenantLayer`](super::TenantLayer) does by itself.
    pub fn with_platform_log(mut self, log: Arc<dyn PlatformLog>) -> Self {
        self.log = Some(log);
        self
    }

    async fn pass(&self, parts: &mut Parts) -> Result<(), Error> {
        let identity = identify(parts, &*self.authenticate, self.log.as_deref()).await?;
        if !self.api_keys {
            identity.require_user()?;
        }
        Ok(())
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

impl<S, A, B> Service<Request<A>> for AuthService<S>
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
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let correlation = Correlation::of(&mut parts);
            let answering = async move {
                match layer.pass(&mut parts).await {
                    Ok(()) => inner.call(Request::from_parts(parts, body)).await,
                    Err(error) => Ok(Problem::logged(&error).respond()),
                }
            };
            correlation.answer(correlation.span(), answering).await
        })
    }
}

/// The service that was polled ready; a clone takes its place.
pub(super) fn ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}

/// Who sent the request: what a layer further out has found out, or what the authenticator says.
pub(super) async fn identify(
    parts: &mut Parts,
    authenticate: &dyn Authenticate,
    log: Option<&dyn PlatformLog>,
) -> Result<Identity, Error> {
    let identity = match parts.extensions.get::<Identity>() {
        Some(known) => known.clone(),
        None => ask(parts, authenticate)
            .await
            .inspect_err(|error| note(log, error))?,
    };
    let span = Span::current();
    match &identity.caller {
        CallerKind::User(user) => span.record("user", tracing::field::display(user)),
        CallerKind::ApiKey { principal, .. } => span.record("api_key", principal.actor.id()),
    };
    parts.extensions.insert(identity.clone());
    Ok(identity)
}

/// A request without a login is no event.
fn note(log: Option<&dyn PlatformLog>, error: &Error) {
    let refused = error.kind() == ErrorKind::Unauthenticated && error.code() != UNAUTHENTICATED;
    if let Some(log) = log.filter(|_| refused) {
        log.note(PlatformEvent::new(
            PlatformEventKind::LoginRefused,
            error.code(),
        ));
    }
}

async fn ask(parts: &Parts, authenticate: &dyn Authenticate) -> Result<Identity, Error> {
    if parts.headers.get_all(AUTHORIZATION).iter().count() > 1 {
        // A proxy and this service could each look at another one.
        let message = "the request carries more than one login";
        return Err(Error::new(
            ErrorKind::Unauthenticated,
            "login_ambiguous",
            message,
        ));
    }
    let headers = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let head = RequestHead::new(parts.method.as_str(), &parts.uri.to_string(), headers);
    authenticate.authenticate(&head).await?.ok_or_else(no_login)
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthLayer")
    }
}

impl<S> fmt::Debug for AuthService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthService")
    }
}
