//! From a request to a caller.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::{header::AUTHORIZATION, request::Parts};
use tower_layer::Layer;
use tracing::Span;

use super::{
    correlation::Correlation,
    problem::{UNAUTHENTICATED, no_login},
    service::{LayerService, Pass},
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
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        LayerService::new(inner, self.clone())
    }
}

/// The service of [`AuthLayer`].
pub type AuthService<S> = LayerService<S, AuthLayer>;

#[async_trait]
impl Pass for AuthLayer {
    async fn pass(&self, parts: &mut Parts, _: &Correlation) -> Result<(), Error> {
        let identity = identify(parts, &*self.authenticate, self.log.as_deref()).await?;
        if !self.api_keys {
            identity.require_user()?;
        }
        Ok(())
    }
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
    let refused = |code, message| Err(Error::new(ErrorKind::Unauthenticated, code, message));
    let mut logins = parts.headers.get_all(AUTHORIZATION).iter();
    let (login, another) = (logins.next(), logins.next());
    if another.is_some() {
        // A proxy and this service could each look at another one.
        return refused("login_ambiguous", "the request carries more than one login");
    }
    if login.is_some_and(|login| login.to_str().is_err()) {
        // Left out as the other headers are, it would be a request without a login.
        return refused("login_unreadable", "the request's login can't be read");
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
