//! What handlers ask for.

use axum::extract::FromRequestParts;
use http::{StatusCode, request::Parts};

use super::Problem;
use crate::{Identity, TenantCtx};

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
        parts
            .extensions
            .get::<TenantCtx>()
            .cloned()
            .map(Self)
            .ok_or_else(unauthenticated)
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
        parts
            .extensions
            .get::<Identity>()
            .cloned()
            .map(Self)
            .ok_or_else(unauthenticated)
    }
}

fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "log in first")
}
