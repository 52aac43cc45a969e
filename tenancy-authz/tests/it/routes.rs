//! A route that somebody forgot to guard is found, wherever in the router it is.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, Path, Query, State},
    routing::{any, delete, get, patch, post},
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tenancy_authz::{
    PgAuthorizer,
    http::{Allowed, Gate, members_only, public},
    testing::{Guard, RouteCheck},
};
use tenancy_core::{Authorizer, AuthorizerExt as _, Error, http::Tenant};
use uuid::Uuid;

use crate::support::{Result, perm};

#[derive(Clone)]
struct AppState {
    authorizer: Arc<dyn Authorizer>,
}

impl FromRef<AppState> for Arc<dyn Authorizer> {
    fn from_ref(state: &AppState) -> Self {
        state.authorizer.clone()
    }
}

async fn open() -> &'static str {
    "something"
}

async fn by_extractor(_: Allowed<perm::TemplatesRead>, Path(_): Path<Uuid>) {}

async fn behind_its_path(Path(_): Path<u32>, _: Allowed<perm::TemplatesWrite>, _: Json<Value>) {}

async fn by_code(Tenant(ctx): Tenant, State(state): State<AppState>) -> Result<String, Error> {
    let granted = state
        .authorizer
        .require(&ctx, perm::TemplatesPurge::get())
        .await?;
    Ok(format!("{granted:?}"))
}

async fn behind_a_query(
    _: Query<std::collections::BTreeMap<String, u8>>,
    _: Allowed<perm::TemplatesRead>,
) {
}

/// A router in which everything is guarded, in every way there is.
fn guarded(authz: Arc<PgAuthorizer>) -> Router {
    let gate = Gate::new(authz.clone());
    let write = || gate.require(perm::TemplatesWrite::get());
    let nested = Router::new()
        .route("/{id}", get(by_extractor))
        .route("/{id}/pages/{page}", post(open).put(open).layer(write()))
        .fallback(any(open).layer(write()));
    let merged = Router::new()
        .route("/code", get(by_code))
        .route("/all", any(open).layer(write()))
        .route("/files/{*path}", get(open))
        .route_layer(write());
    Router::new()
        .route("/health", get(open).layer(public()))
        .route("/me", get(open).layer(members_only()))
        .route("/number/{n}", patch(behind_its_path))
        .route("/query", get(behind_a_query))
        .nest("/templates", nested)
        .nest_service("/service", write_around(&gate, get(open)))
        .merge(merged)
        .fallback_service(write_around(&gate, get(open)))
        .with_state(AppState { authorizer: authz })
}

fn write_around(
    gate: &Gate,
    service: axum::routing::MethodRouter,
) -> impl tower::Service<
    axum::extract::Request,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    let guard = gate.require(perm::TemplatesWrite::get());
    tower::Layer::layer(&guard, service)
}

async fn forgotten(check: &RouteCheck, router: Router) -> Vec<String> {
    let report = check.run(router).await;
    let unguarded = report.unguarded();
    unguarded
        .map(|route| format!("{} {}", route.method, route.path))
        .collect()
}

#[tokio::test]
async fn in_a_guarded_router_nothing_is_found_and_it_is_told_what_guards_what() -> Result {
    let check = RouteCheck::new()?;
    check.assert_guarded(guarded(check.authorizer())).await;
    let report = check.run(guarded(check.authorizer())).await;
    let of = |method: &str, path: &str| {
        let mut routes = report.routes().iter();
        let route = routes.find(|route| route.method == method && route.path == path);
        route.map(|route| route.guard.clone())
    };
    let asks = |key: &str| Some(Guard::Permissions(vec![key.to_owned()]));
    assert_eq!(of("GET", "/health"), Some(Guard::Public));
    assert_eq!(of("GET", "/me"), Some(Guard::MembersOnly));
    assert_eq!(of("GET", "/templates/{id}"), asks("templates.read"));
    assert_eq!(
        of("PUT", "/templates/{id}/pages/{page}"),
        asks("templates.write")
    );
    assert_eq!(
        of("GET", "/code"),
        asks("templates.write"),
        "its layer answers before it"
    );
    assert_eq!(of("PATCH", "/number/{n}"), asks("templates.write"));
    assert!(
        report.to_string().contains("GET /me: members only\n"),
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn a_forgotten_route_is_found_wherever_it_is() -> Result {
    let check = RouteCheck::new()?;
    let authz = check.authorizer();
    let with = |more: Router| guarded(authz.clone()).merge(more);
    let bare = || Router::new().route("/x/{id}", get(open));
    let nested = || Router::new().nest("/v1", Router::new().nest("/deep", bare()));

    let cases: Vec<(Router, &[&str])> = vec![
        (with(bare()), &["GET /x/{id}"]),
        (with(nested()), &["GET /v1/deep/x/{id}"]),
        (with(Router::new().merge(bare())), &["GET /x/{id}"]),
        // One method of several.
        (
            with(
                Router::new().route(
                    "/both",
                    get(open)
                        .layer(Gate::new(authz.clone()).require(perm::TemplatesRead::get()))
                        .merge(delete(open)),
                ),
            ),
            &["DELETE /both"],
        ),
        (with(Router::new().route("/any", any(open))), &["ANY /any"]),
        // The answer to other methods of a route.
        (
            with(Router::new().route("/rest", get(open).layer(public()).fallback(open))),
            &["ANY /rest"],
        ),
        // What is layered first does not guard what comes later.
        (
            with(
                Router::new()
                    .route("/early", get(open))
                    .layer(public())
                    .route("/late", get(open)),
            ),
            &["GET /late"],
        ),
        // A handler that takes what it likes.
        (
            with(Router::new().route("/f/{*rest}", post(open))),
            &["POST /f/{*rest}"],
        ),
    ];
    for (router, expected) in cases {
        assert_eq!(forgotten(&check, router).await, expected);
    }

    // Fallbacks: of the whole router, and of a nested one.
    let own = Router::new().fallback(open);
    assert!(!forgotten(&check, own).await.is_empty(), "a fallback");
    let own = Router::new().fallback_service(get(open));
    assert!(
        !forgotten(&check, own).await.is_empty(),
        "a service as fallback"
    );
    let own = Router::new().nest("/v1", Router::new().fallback(open));
    assert!(
        !forgotten(&check, own).await.is_empty(),
        "a nested fallback"
    );
    let own = Router::new()
        .route_service("/s", get(open))
        .nest_service("/n", get(open));
    let found = forgotten(&check, own).await;
    assert!(found.iter().any(|it| it.ends_with(" /s")), "{found:?}");
    assert!(found.iter().any(|it| it.contains(" /n")), "{found:?}");
    assert_eq!(forgotten(&check, Router::new()).await, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_denial_that_a_handler_passes_over_guards_nothing() -> Result {
    async fn ignored(Tenant(ctx): Tenant, State(state): State<AppState>) -> &'static str {
        let purge = perm::TemplatesPurge::get();
        let _ = state.authorizer.require(&ctx, purge).await;
        "gone"
    }
    async fn hidden(Tenant(ctx): Tenant, State(state): State<AppState>) -> StatusCode {
        let purge = perm::TemplatesPurge::get();
        match state.authorizer.require(&ctx, purge).await {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::NOT_FOUND,
        }
    }
    async fn own_words(Tenant(ctx): Tenant, State(state): State<AppState>) -> StatusCode {
        let purge = perm::TemplatesPurge::get();
        match state.authorizer.require(&ctx, purge).await {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::FORBIDDEN,
        }
    }
    async fn aside(Tenant(ctx): Tenant, State(state): State<AppState>) -> StatusCode {
        let asking = async move {
            let purge = perm::TemplatesPurge::get();
            let _ = state.authorizer.require(&ctx, purge).await;
        };
        let _ = tokio::spawn(asking).await;
        StatusCode::NO_CONTENT
    }
    let check = RouteCheck::new()?;
    let state = AppState {
        authorizer: check.authorizer(),
    };
    let router = Router::new()
        .route("/ignored", delete(ignored))
        .route("/hidden", get(hidden))
        .route("/own", get(own_words))
        .route("/aside", get(aside))
        // What says that it is open is open, whatever its handler makes of the answer.
        .route("/public", get(ignored).layer(public()))
        .with_state(state);
    let report = check.run(router).await;
    let found: Vec<_> = report.unguarded().map(ToString::to_string).collect();
    let missing = "although it is missing";
    assert_eq!(
        found,
        [
            format!("GET /aside: asks for templates.purge, and answered 204 {missing}"),
            format!("GET /hidden: asks for templates.purge, and answered 404 {missing}"),
            format!("DELETE /ignored: asks for templates.purge, and answered 200 {missing}"),
        ]
    );
    assert!(report.to_string().contains("GET /public: public\n"));
    Ok(())
}

#[tokio::test]
async fn a_route_that_is_open_for_one_method_or_one_path_is_found() -> Result {
    async fn but_for_patch(
        method: http::Method,
        Tenant(ctx): Tenant,
        State(state): State<AppState>,
    ) -> Result<&'static str, Error> {
        if method != http::Method::PATCH {
            let read = perm::TemplatesRead::get();
            state.authorizer.require(&ctx, read).await?;
        }
        Ok("changed")
    }
    async fn but_for_head(
        method: http::Method,
        Tenant(ctx): Tenant,
        State(state): State<AppState>,
    ) -> Result<&'static str, Error> {
        if method == http::Method::GET {
            let read = perm::TemplatesRead::get();
            state.authorizer.require(&ctx, read).await?;
        }
        Ok("read")
    }
    async fn but_for_me(
        Path(id): Path<String>,
        Tenant(ctx): Tenant,
        State(state): State<AppState>,
    ) -> Result<String, Error> {
        if id != "a" {
            let read = perm::TemplatesRead::get();
            state.authorizer.require(&ctx, read).await?;
        }
        Ok(id)
    }
    let check = RouteCheck::new()?;
    let authz = check.authorizer();
    let gate = Gate::new(authz.clone());
    let guarded = || gate.require(perm::TemplatesRead::get());
    let state = AppState { authorizer: authz };
    let patched = get(open).layer(guarded()).merge(patch(open));
    let only_patched = patch(open);
    let router = Router::new()
        .route("/any", any(but_for_patch))
        .route("/rest", get(open).layer(public()).fallback(but_for_patch))
        .route("/head", get(but_for_head))
        .route("/{id}", get(but_for_me))
        .route_service("/service", patched)
        .route_service("/patch", only_patched)
        .nest_service("/nested", get(open).layer(guarded()).merge(patch(open)))
        .route_service("/guarded", patch(open).route_layer(guarded()))
        .with_state(state);
    let found = forgotten(&check, router).await;
    assert_eq!(
        found
            .iter()
            .filter(|it| !it.contains("/nested"))
            .collect::<Vec<_>>(),
        [
            "PATCH /any",
            "HEAD /head",
            "ANY /patch",
            "PATCH /rest",
            "PATCH /service",
            "GET /{id}",
        ]
    );
    assert!(
        found.iter().any(|it| it.starts_with("PATCH /nested")),
        "{found:?}"
    );

    // A preflight is answered by its layer.
    let service = Router::new()
        .route_service("/s", any(open).layer(guarded()))
        .layer(axum::middleware::from_fn(
            async |request: axum::extract::Request, next: axum::middleware::Next| {
                if request.method() == http::Method::OPTIONS {
                    let allowed = [(http::header::ACCESS_CONTROL_ALLOW_METHODS, "GET")];
                    return axum::response::IntoResponse::into_response(allowed);
                }
                next.run(request).await
            },
        ));
    assert_eq!(forgotten(&check, service).await, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn what_hides_a_guard_is_reported_until_a_request_gets_past_it() -> Result {
    async fn picky(
        headers: http::HeaderMap,
        request: axum::extract::Request,
        next: axum::middleware::Next,
    ) -> Result<axum::response::Response, StatusCode> {
        if headers.contains_key("x-version") {
            return Ok(next.run(request).await);
        }
        Err(StatusCode::UPGRADE_REQUIRED)
    }
    async fn even(Path(n): Path<u32>, allowed: Query<Value>) -> Result<String, StatusCode> {
        if n == 4_711 {
            Ok(format!("{allowed:?}"))
        } else {
            Err(StatusCode::NOT_FOUND)
        }
    }
    async fn by_day(Path(_): Path<chrono::NaiveDate>, _: Allowed<perm::TemplatesRead>) {}
    async fn by_code(Path(key): Path<String>, allowed: Allowed<perm::TemplatesRead>) -> String {
        format!("{key} {allowed:?}")
    }

    let check = RouteCheck::new()?;
    let router = |check: &RouteCheck| {
        Router::new()
            .route("/{key}", get(by_code))
            .layer(axum::middleware::from_fn(picky))
            .route("/days/{day}", get(by_day))
            .with_state(AppState {
                authorizer: check.authorizer(),
            })
    };
    assert_eq!(
        forgotten(&check, router(&check)).await,
        ["GET /{key}"],
        "a day is a sample"
    );
    let check = check.with_header(
        HeaderName::from_static("x-version"),
        HeaderValue::from_static("1"),
    );
    assert_eq!(
        forgotten(&check, router(&check)).await,
        Vec::<String>::new()
    );

    let check = RouteCheck::new()?.with_path("/n/{n}", "/n/4711?x=1");
    let odd = Router::new().route("/n/{n}", get(even).layer(public()));
    let report = check.run(odd).await;
    assert_eq!(report.routes()[0].guard, Guard::Public);
    let panics = Router::new().route("/p", get(async || -> String { panic!("a bug") }));
    let report = check.run(panics).await;
    assert_eq!(report.to_string(), "GET /p: panicked and asked nobody\n");
    Ok(())
}

/// A service does not tell what is inside: what is captured there is found at every depth, and what has a name
/// of its own where the test says it.
#[tokio::test]
async fn what_is_open_inside_of_a_service_is_found_at_every_depth() -> Result {
    let check = RouteCheck::new()?;
    let authz = check.authorizer();
    for path in ["/{a}", "/{a}/{b}", "/{a}/{b}/{c}", "/{a}/{b}/{c}/{d}/{e}"] {
        let guard = Gate::new(authz.clone()).require(perm::TemplatesRead::get());
        let inside = Router::new()
            .fallback(any(open).layer(guard.clone()))
            .route(path, delete(open));
        let router = Router::new()
            .nest_service("/n", inside.clone())
            .fallback_service(inside)
            .route("/{id}", get(open).layer(public()));
        let found = forgotten(&check, router).await;
        let (nested, rest): (Vec<_>, Vec<_>) = found.iter().partition(|it| it.contains("/n/"));
        assert!(
            nested.iter().any(|it| it.starts_with("DELETE ")),
            "{path}: {found:?}"
        );
        let is_route = path == "/{a}";
        assert_eq!(rest.is_empty(), is_route, "{path}: {found:?}");
    }

    let guard = Gate::new(authz).require(perm::TemplatesRead::get());
    let inside = Router::new()
        .fallback(any(open).layer(guard))
        .route("/export", get(open));
    let router = Router::new().nest_service("/n", inside);
    assert_eq!(
        forgotten(&check, router.clone()).await,
        Vec::<String>::new()
    );
    let check = check.with_path("/n", "/n/export");
    assert!(!forgotten(&check, router).await.is_empty());
    Ok(())
}

#[tokio::test]
#[should_panic(expected = "GET /x: answered 200 and asked nobody")]
async fn an_assertion_names_what_was_forgotten() {
    let check = RouteCheck::new().unwrap();
    check
        .assert_guarded(Router::new().route("/x", get(open)))
        .await;
}
