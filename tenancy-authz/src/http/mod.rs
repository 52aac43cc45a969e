//! Guards of routes: a layer for any tower stack, and an extractor for axum 0.8.
//!
//! Both need the [`TenantCtx`](tenancy_core::TenantCtx) that
//! [`TenantLayer`](tenancy_core::http::TenantLayer) puts into the request, and answer problem
//! details (RFC 9457):
//!
//! | status | when |
//! |---|---|
//! | 401 | there is no context: nobody is logged in |
//! | 403 | the permission is missing; the body names it, and the audit log has one entry |
//! | 404 | he is no member of the tenant any more: told as a stranger is, and the audit log has one entry |
//! | 503 | whether it is held can't be found out now |
//!
//! A route that no permission guards says so: [`public`], [`members_only`].

#[cfg(feature = "axum")]
mod allowed;
mod gate;
mod guarded;
mod open;

#[cfg(feature = "axum")]
pub use allowed::Allowed;
pub use gate::{Gate, RequirePermission, RequirePermissionService};
pub use guarded::GuardedService;
#[cfg(feature = "tonic")]
pub(crate) use guarded::{Guard, Refused};
#[cfg(all(feature = "axum", feature = "testing"))]
pub(crate) use open::OpenTo;
pub use open::{Open, OpenService, members_only, public};
