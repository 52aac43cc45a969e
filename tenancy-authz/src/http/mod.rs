//! Guards for axum 0.8: a layer for routes and an extractor for handlers.
//!
//! Both need the [`TenantCtx`](tenancy_core::TenantCtx) that
//! [`TenantLayer`](tenancy_core::http::TenantLayer) puts into the request, and answer problem
//! details (RFC 9457):
//!
//! | status | when |
//! |---|---|
//! | 401 | there is no context: nobody is logged in |
//! | 403 | the permission is missing; the body names it, and the audit log has one entry |
//! | 503 | whether it is held can't be found out now |

mod allowed;
mod gate;

pub use allowed::Allowed;
pub use gate::{Gate, RequirePermission, RequirePermissionService};
