//! What handlers of axum 0.8 ask for, and what they may return.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use super::{Problem, problem::unauthenticated};
use crate::{Error, Identity, TenantCtx};

/// The tenant context of the request, put there by [`TenantLayer`](super::TenantLayer).
///
/// ```no_run
/// use tenancy_core::http::Tenant;
///
/// async fn handler(Tenant(ctx): Tenant) -> String {
///     ctx.tenant().to_string()
/// }
/// ```
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an extractor is made to be taken apart"
)]
pub struct Tenant(pub TenantCtx);

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let ctx = parts.extensions.get::<TenantCtx>().cloned();
        Ok(Self(ctx.ok_or_else(unauthenticated)?))
    }
}

/// Who sent the request, put there by [`AuthLayer`](super::AuthLayer) or
/// [`TenantLayer`](super::TenantLayer).
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an extractor is made to be taken apart"
)]
pub struct Caller(pub Identity);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let identity = parts.extensions.get::<Identity>().cloned();
        Ok(Self(identity.ok_or_else(unauthenticated)?))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.respond()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::logged(&self).respond()
    }
}

/// The parameter of the route, decoded.
pub(super) async fn path_param(parts: &mut Parts, name: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let mut values = params.iter().filter(|(key, _)| *key == name);
    values.next().map(|(_, value)| value.to_owned())
}
