//! A check that no route of a router was left without a guard.

mod answer;
mod debug;
mod listing;
mod methods;

use std::{collections::HashSet, fmt, sync::Arc};

use axum::{Router, body::Body};
use http::{HeaderName, HeaderValue, Method, Request};
use tenancy_core::{
    Principal, RequestId, TenantCtx, TenantId, UserId,
    testing::{MemoryAudit, imagined},
};
use tower::ServiceExt as _;

use self::{
    answer::{Answer, Answered},
    listing::Handler,
};
use super::MemoryPolicyStore;
use crate::{AuthzOptions, PgAuthorizer};

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
/// fallbacks included, and sends each, with every method that it takes, requests of a member who
/// holds nothing. It looks for the denial in the audit log and in the answer: a denial that a handler
/// passes over guards nothing. A route that is open for one method, or for one of the paths that are
/// tried, fails the check unless it says [`public`](crate::http::public) or
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
/// - What stands before the guard runs: an extractor in front of it that refuses every sample request
///   hides the guard, and the route is reported. Put the guard first, or give a request that passes
///   with [`with_path`](Self::with_path).
/// - A denial is answered as one: with the error's own response, with 403, or with the status of gRPC.
///   What answers 404 of its own for it is reported.
/// - What a handler does before it asks is not seen.
/// - A handler that is not guarded runs, with an empty body. Run the check on a router that has a
///   database of tests behind it, or none.
/// - What was put in by `nest_service`, `route_service` or `fallback_service` counts as one route,
///   because it does not tell what is inside: put the guard around it. It is asked with every method, and
///   below its prefix at six depths, which finds what is captured there (`/{id}/pages/{page}`) and not what
///   has a name of its own (`/export`): for that there is [`with_path`](Self::with_path), once for each. A
///   router that is merged or nested as one tells all of its routes. A method that a service answers with 405
///   it does not take, and the preflight of a layer for CORS is none of its answers.
/// - What a service decides by the host, a header or the body is asked with those of the check only.
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
        let (tenant, user) = (TenantId::new(), UserId::new());
        let nobody = MemoryPolicyStore::new(&[])?;
        nobody.admit(tenant, user);
        let sink = Arc::new(audit.clone());
        let authorizer = PgAuthorizer::over(Arc::new(nobody), sink, AuthzOptions::default());
        let principal = Principal::user(user);
        Ok(Self {
            audit,
            authorizer: Arc::new(authorizer),
            ctx: imagined(tenant, principal),
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
    /// texts, or below what was nested as a service: there the route is the prefix it was nested at.
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
        for handler in &handlers {
            let asked = methods::of(handler, &handlers);
            let mut guards = Vec::with_capacity(asked.len());
            for method in asked {
                let paths = self.paths(handler, &handlers);
                let answers = self.ask_in_every_way(&router, &paths, &method).await;
                guards.push((method, answers.guard(), answers.is_no_route()));
            }
            for (method, guard) in methods::told(handler, guards) {
                let path = handler.path.clone();
                seen.push(RouteSeen {
                    path,
                    method,
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

    /// Every path there is for a handler: which one of them it is open for is not known.
    fn paths(&self, handler: &Handler, all: &[Handler]) -> Vec<String> {
        let mut paths: Vec<_> = self
            .paths
            .iter()
            .filter(|(route, _)| *route == handler.path || handler.is_below(route))
            .map(|(_, path)| path.clone())
            .collect();
        let sampled = SAMPLES.iter();
        paths.extend(sampled.flat_map(|sample| listing::paths(handler, all, sample)));
        let mut known = HashSet::new();
        paths.retain(|path| known.insert(path.clone()));
        paths
    }

    async fn ask_in_every_way(
        &self,
        router: &Router,
        paths: &[String],
        method: &Method,
    ) -> Answered {
        let mut answers = Answered::default();
        for path in paths {
            answers.0.push(self.ask(router, method, path).await);
        }
        answers
    }

    async fn ask(&self, router: &Router, method: &Method, path: &str) -> Answer {
        let mut request = Request::new(Body::empty());
        let Ok(uri) = path.parse() else {
            return Answer::default();
        };
        (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri);
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        // Its own id, so that no denial of a task that goes on counts for another request.
        let id = RequestId::new();
        let ctx = self.ctx.clone().with_request_id(id);
        request.extensions_mut().insert(ctx);
        // A handler that panics is not guarded, and not the end of the check.
        let answering = tokio::spawn(router.clone().oneshot(request));
        let response = answering.await.ok().and_then(Result::ok);
        let denied = self.audit.of("access.denied").into_iter();
        let asked = denied
            .filter(|entry| entry.request == id)
            .flat_map(|entry| entry.event.targets)
            .map(|target| target.id)
            .collect();
        Answer::new(asked, response.as_ref())
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
    /// It asks for these, is told that they are missing, and goes on all the same.
    #[non_exhaustive]
    Ignored {
        /// What it asks for.
        asked: Vec<String>,
        /// What it answered all the same; nothing, if the handler panicked.
        status: Option<u16>,
    },
    /// Nothing does.
    #[non_exhaustive]
    None {
        /// What the first request was answered with; nothing, if the handler panicked.
        status: Option<u16>,
    },
}

impl Guard {
    /// Whether somebody who holds nothing gets past it, though nobody said that he may.
    fn is_open(&self) -> bool {
        matches!(self, Self::Ignored { .. } | Self::None { .. })
    }
}

/// A handler of a router, and what stands before it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RouteSeen {
    /// The path of the route, as the router has it.
    pub path: String,
    /// The method that was asked with; `ANY` for all that the handler takes, if they are guarded alike
    /// and none has a handler of its own.
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
        self.0.iter().filter(|route| route.guard.is_open())
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
            Guard::Ignored { asked, status } => {
                let asked = asked.join(", ");
                let said =
                    status.map_or("panicked".to_owned(), |status| format!("answered {status}"));
                write!(f, "asks for {asked}, and {said} although it is missing")
            }
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
