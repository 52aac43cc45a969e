//! The routes.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tenancy_core::{
    SecretText,
    http::{AuthLayer, Caller, Problem, Tenant, TenantLayer},
};

use super::cookie;
use crate::{
    ConnectionId, Error, ErrorKind, FinishRequest, OAuthBroker, ProviderKey, StartOptions, Started,
    service::{ACCESS_REFUSED, flow_of},
};

/// The broker's routes: those of a tenant behind `tenants`, the callback behind `logins`.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{Authenticate, TenantDb, http::{AuthLayer, TenantLayer, TenantSource}};
/// # use tenancy_secrets::{OAuthBroker, http::oauth_routes};
/// # fn routes(db: TenantDb, login: Arc<dyn Authenticate>, broker: OAuthBroker) -> axum::Router {
/// let tenants = TenantLayer::new(db, login.clone(), [TenantSource::Subdomain("example.com".into())]);
/// oauth_routes(broker, tenants, AuthLayer::new(login))
/// # }
/// ```
pub fn oauth_routes(broker: OAuthBroker, tenants: TenantLayer, logins: AuthLayer) -> Router {
    let of_tenant = Router::new()
        .route("/api/oauth/connections", get(list))
        .route("/api/oauth/{provider}/start", get(start))
        .route("/api/oauth/{provider}/connections/{id}", delete(disconnect))
        .route_layer(tenants);
    let of_login = Router::new()
        .route("/api/oauth/{provider}/callback", get(callback))
        .route_layer(logins);
    of_tenant.merge(of_login).with_state(broker)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        problem(self).into_response()
    }
}

/// What the core has no status for: a callback that is refused is forbidden, a provider that
/// refuses is a bad gateway.
fn problem(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::StateRefused => {
            Problem::new(StatusCode::FORBIDDEN, error.code(), error.to_string())
        }
        // The user said no.
        ErrorKind::ProviderRefused if error.code() == ACCESS_REFUSED => {
            Problem::new(StatusCode::FORBIDDEN, error.code(), error.to_string())
        }
        ErrorKind::ProviderRefused => {
            Problem::new(StatusCode::BAD_GATEWAY, error.code(), error.to_string())
        }
        _ => {
            let error = tenancy_core::Error::from(error);
            let problem = Problem::from(&error);
            if problem.status() >= 500 {
                tracing::error!(%error, code = error.code(), "a request failed");
            }
            problem
        }
    }
}

fn provider_key(text: String) -> Result<ProviderKey, Error> {
    // No key, no provider.
    ProviderKey::parse(text)
        .map_err(|_| Error::not_found("provider_unknown", "there is no such provider"))
}

#[derive(Deserialize)]
struct StartQuery {
    scopes: Option<String>,
    return_to: Option<String>,
    reconnect: Option<String>,
}

async fn start(
    State(broker): State<OAuthBroker>,
    Tenant(ctx): Tenant,
    Path(provider): Path<String>,
    Query(query): Query<StartQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if is(&headers, "sec-fetch-site", |site| site == "cross-site") {
        // Another site must not make somebody connect an account.
        let message = "a connection is begun from this site only";
        return Err(Error::new(ErrorKind::StateRefused, "cross_site", message));
    }
    let reconnect = query.reconnect.map(|id| id.parse()).transpose()?;
    let options = StartOptions {
        scopes: words(query.scopes.as_deref()),
        return_to: query.return_to,
        reconnect,
    };
    let started = broker
        .start(&ctx, &provider_key(provider)?, &options)
        .await?;
    let json = is(&headers, "accept", |kinds| {
        kinds.contains("application/json") && !kinds.contains("html")
    });
    sent(&broker, &started, json)
}

fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn is(headers: &HeaderMap, name: &str, accepts: impl Fn(&str) -> bool) -> bool {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .is_some_and(accepts)
}

fn sent(broker: &OAuthBroker, started: &Started, json: bool) -> Result<Response, Error> {
    let url = started.authorize_url.as_str();
    let mut response = if json {
        Json(json!({ "authorize_url": url })).into_response()
    } else {
        see_other(url)?
    };
    let cookie = cookie::set(broker.public_url(), &started.flow, &started.browser_secret);
    quiet(&mut response, cookie);
    Ok(response)
}

fn see_other(url: &str) -> Result<Response, Error> {
    let location = HeaderValue::try_from(url)
        .map_err(|_| Error::internal("location_invalid", "the location is not valid"))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

/// Keeps codes and states out of caches and of the next page's referrer.
fn quiet(response: &mut Response, cookie: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
}

#[derive(Deserialize)]
struct CallbackQuery {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

async fn callback(
    State(broker): State<OAuthBroker>,
    Caller(identity): Caller,
    Path(provider): Path<String>,
    Query(query): Query<CallbackQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let missing = || {
        Error::new(
            ErrorKind::StateRefused,
            "state_missing",
            "the callback has no state",
        )
    };
    let state = SecretText::new(query.state.ok_or_else(missing)?);
    let flow = flow_of(&state);
    let mut request = FinishRequest::new(provider_key(provider)?, identity.require_user()?, state);
    request.browser_secret = cookie::read(&headers, broker.public_url(), &flow);
    request.code = query.code.map(SecretText::new);
    request.error = query.error;
    request.issuer = query.iss;
    let mut response = match broker.finish(request).await {
        Ok(finished) => see_other(&finished.return_to)?,
        Err(error) => error.into_response(),
    };
    quiet(&mut response, cookie::clear(broker.public_url(), &flow));
    Ok(response)
}

#[derive(Deserialize)]
struct PageQuery {
    after: Option<String>,
    limit: Option<u16>,
}

async fn list(
    State(broker): State<OAuthBroker>,
    Tenant(ctx): Tenant,
    Query(page): Query<PageQuery>,
) -> Result<Response, Error> {
    let after = page.after.map(|id| id.parse()).transpose()?;
    let connections = broker.list(&ctx, after, page.limit.unwrap_or(100)).await?;
    Ok(Json(json!({ "connections": connections })).into_response())
}

async fn disconnect(
    State(broker): State<OAuthBroker>,
    Tenant(ctx): Tenant,
    Path((provider, id)): Path<(String, String)>,
) -> Result<Response, Error> {
    let id: ConnectionId = id.parse()?;
    let outcome = broker
        .disconnect_of(&ctx, &provider_key(provider)?, id)
        .await?;
    Ok(Json(json!({ "status": "disconnected", "revocation": outcome })).into_response())
}
