//! A check that no route of a router was left without a guard.

mod debug;
mod listing;

use std::{fmt, sync::Arc};

use axum::{Router, body::Body};
use http::{HeaderName, HeaderValue, Method, Request};
use tenancy_core::{
    Principal, TenantCtx, TenantId, UserId,
    testing::{MemoryAudit, imagined},
};
use tower::ServiceExt as _;

use self::listing::{Answers, Handler};
use super::MemoryPolicyStore;
use crate::{AuthzOptions, PgAuthorizer, http::OpenTo};

/// What stands for a part of a path that is captured: tried one after the other.
const SAMPLES: [&str; 4] = [
    "00000000-0000-7000-8000-000000000000",
    "1",
    "a",
    "2000-01-01",
];

/// Finds the routes of a router that nothing guards.
///
/// It reads from the router itself which routes it has, those of nested and merged routers and of
/// fallbacks included, sends each a request of somebody who holds nothing, and looks for the denial.
/// A route without one fails the check unless it says [`public`](crate::http::public) or
/// [`members_only`](crate::http::members_only). It makes no difference how a route is guarded:
/// by a layer, by the extractor, or in the handler's own first lines.
///
/// Build the router with [`authorizer`](Self::authorizer), and without the
/// [`TenantLayer`](tenancy_core::http::TenantLayer): the check brings the context itself.
///
/// ```
/// # use std::sync::Arc;
/// # use axum::{Router, routing::{get, post}};
/// # use tenancy_authz::{Error, PgAuthorizer, http::{Gate, public}, testing::RouteCheck};
/// fn routes(authz: Arc<PgAuthorizer>) -> Result<Router, Error> {
///     let gate = Gate::new(authz);
///     Ok(Router::new()
///         .route("/health", get(async || "fine").layer(public()))
///         .route("/roles", get(async || "roles").layer(gate.require_permission("roles.read")?))
///         .route("/roles/{key}", post(async || "changed")))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let check = RouteCheck::new()?;
/// let report = check.run(routes(check.authorizer())?).await;
/// let forgotten: Vec<_> = report.unguarded().map(ToString::to_string).collect();
/// assert_eq!(forgotten, ["POST /roles/{key}: answered 200 and asked nobody"]);
/// # Ok(()) }
/// ```
///
/// # Limits
/// - What stands before the guard runs: an extractor in front of it that refuses the sample request
///   hides the guard, and the route is reported. Put the guard first, or give a request that passes
///   with [`with_path`](Self::with_path).
/// - A handler that is not guarded runs, with an empty body. Run the check on a router that has a
///   database of tests behind it, or none.
/// - What was put in by `nest_service`, `route_service` or `fallback_service` counts as one route,
///   because it does not tell what is inside: put the guard around it.
/// - It shows that a route asks for a permission, not that it asks for the right one:
///   [`RouteReport`] prints which.
pub struct RouteCheck {
    audit: MemoryAudit,
    authorizer: Arc<PgAuthorizer>,
    ctx: TenantCtx,
    headers: Vec<(HeaderName, HeaderValue)>,
    paths: Vec<(String, String)>,
}

impl RouteCheck {
    /// A check with an authorizer that denies everything.
    ///
    /// # Errors
    /// None, as long as there is memory.
    pub fn new() -> Result<Self, crate::Error> {
        let audit = MemoryAudit::new();
        let nobody = Arc::new(MemoryPolicyStore::new(&[])?);
        let sink = Arc::new(audit.clone());
        let authorizer = PgAuthorizer::over(nobody, sink, AuthzOptions::default());
        let principal = Principal::user(UserId::new());
        Ok(Self {
            audit,
            authorizer: Arc::new(authorizer),
            ctx: imagined(TenantId::new(), principal),
            headers: Vec::new(),
            paths: Vec::new(),
        })
    }

    /// What the router has to ask.
    pub fn authorizer(&self) -> Arc<PgAuthorizer> {
        self.authorizer.clone()
    }

    /// Sends a header along with every request, such as one that a layer of the host wants.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says which path, with its query, to ask for on a route whose captures take only certain
    /// texts.
    pub fn with_path(mut self, route: impl Into<String>, path: impl Into<String>) -> Self {
        self.paths.push((route.into(), path.into()));
        self
    }

    /// Asks every route.
    ///
    /// # Panics
    /// If this version of axum does not tell which routes a router has.
    #[expect(clippy::panic, reason = "a check that finds nothing must not pass")]
    pub async fn run(&self, router: Router) -> RouteReport {
        let found = listing::is_understood().then(|| listing::handlers(&router));
        let Some(handlers) = found.flatten() else {
            panic!("this version of axum does not print its routes in a way that is known here");
        };
        let mut seen = Vec::with_capacity(handlers.len());
        for handler in handlers {
            for method in methods(&handler.answers) {
                let guard = self.guard(&router, &handler, &method).await;
                let path = handler.path.clone();
                seen.push(RouteSeen {
                    path,
                    method: method.to_string(),
                    guard,
                });
            }
        }
        RouteReport(seen)
    }

    /// Asks every route, and panics with those that nothing guards.
    ///
    /// # Panics
    /// If there are any.
    pub async fn assert_guarded(&self, router: Router) {
        let report = self.run(router).await;
        let forgotten: Vec<_> = report.unguarded().map(ToString::to_string).collect();
        assert!(
            forgotten.is_empty(),
            "routes that nothing guards; add a guard, or say `public()`:\n  {}",
            forgotten.join("\n  ")
        );
    }

    async fn guard(&self, router: &Router, handler: &Handler, method: &Method) -> Guard {
        let given = self
            .paths
            .iter()
            .filter(|(route, _)| *route == handler.path);
        let mut paths: Vec<_> = given.map(|(_, path)| path.clone()).collect();
        paths.extend(SAMPLES.map(|sample| listing::filled(&handler.path, sample)));
        paths.dedup();
        let mut said = None;
        for path in paths {
            match self.ask(router, method, &path).await {
                Guard::None { status } => said = said.or(status),
                guard => return guard,
            }
        }
        Guard::None { status: said }
    }

    async fn ask(&self, router: &Router, method: &Method, path: &str) -> Guard {
        let mut request = Request::new(Body::empty());
        let Ok(uri) = path.parse() else {
            return Guard::None { status: None };
        };
        (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri);
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        request.extensions_mut().insert(self.ctx.clone());
        let before = self.audit.of("access.denied").len();
        // A handler that panics is not guarded, and not the end of the check.
        let answering = tokio::spawn(router.clone().oneshot(request));
        let response = answering.await.ok().and_then(Result::ok);
        let denied = self.audit.of("access.denied").into_iter().skip(before);
        let asked: Vec<_> = denied
            .flat_map(|entry| entry.event.targets)
            .map(|target| target.id)
            .collect();
        let status = response.as_ref().map(|response| response.status().as_u16());
        let open = response.and_then(|response| response.extensions().get::<OpenTo>().copied());
        match (asked.is_empty(), open) {
            (false, _) => Guard::Permissions(asked),
            (true, Some(OpenTo::Everybody)) => Guard::Public,
            (true, Some(OpenTo::Members)) => Guard::MembersOnly,
            (true, None) => Guard::None { status },
        }
    }
}

/// What to send to something that answers these requests.
fn methods(answers: &Answers) -> Vec<Method> {
    match answers {
        Answers::Method(name) => Method::from_bytes(name.as_bytes()).into_iter().collect(),
        // No handler of its own takes this one.
        Answers::OtherMethods => Method::from_bytes(b"ANY").into_iter().collect(),
        Answers::Service => vec![Method::GET, Method::POST, Method::PUT, Method::DELETE],
    }
}

/// What stands before a handler.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Guard {
    /// It asks for these.
    Permissions(Vec<String>),
    /// It says that it is open to everybody.
    Public,
    /// It says that it is open to every member.
    MembersOnly,
    /// Nothing does.
    #[non_exhaustive]
    None {
        /// What the first request was answered with; nothing, if the handler panicked.
        status: Option<u16>,
    },
}

/// A handler of a router, and what stands before it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RouteSeen {
    /// The path of the route, as the router has it.
    pub path: String,
    /// The method that was asked with; `ANY` for a handler of all other methods.
    pub method: String,
    /// What stands before it.
    pub guard: Guard,
}

/// Every handler of a router. Printed it is a table: which route asks for what.
#[derive(Clone, Debug)]
pub struct RouteReport(Vec<RouteSeen>);

impl RouteReport {
    /// All of them, in the order of their paths.
    pub fn routes(&self) -> &[RouteSeen] {
        &self.0
    }

    /// Those that nothing guards.
    pub fn unguarded(&self) -> impl Iterator<Item = &RouteSeen> {
        let unguarded = |route: &&RouteSeen| matches!(route.guard, Guard::None { .. });
        self.0.iter().filter(unguarded)
    }
}

impl fmt::Display for RouteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|route| writeln!(f, "{route}"))
    }
}

impl fmt::Display for RouteSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, .. } = self;
        write!(f, "{method} {path}: ")?;
        match &self.guard {
            Guard::Permissions(asked) => write!(f, "asks for {}", asked.join(", ")),
            Guard::Public => f.write_str("public"),
            Guard::MembersOnly => f.write_str("members only"),
            Guard::None {
                status: Some(status),
            } => {
                write!(f, "answered {status} and asked nobody")
            }
            Guard::None { status: None } => f.write_str("panicked and asked nobody"),
        }
    }
}

impl fmt::Debug for RouteCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteCheck")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}
