//! Over HTTP: every mutating request leaves one entry, whatever its handler does. A tower layer, for axum 0.8,
//! hyper, tonic and every other stack.
//!
//! [`AuditLayer`] goes inside [`TenantLayer`](tenancy_core::http::TenantLayer), which says who acts
//! in which tenant; requests that it turns away belong to no tenant and are not recorded here. In the wrong order
//! nothing is recorded: see [the order of layers](AuditLayer#the-order-of-layers).
//!
//! ```no_run
//! # #[cfg(feature = "axum")]
//! # mod host {
//! # use std::sync::Arc;
//! # use axum::{Router, routing::post};
//! # use tenancy_audit::http::{AuditLayer, AuditNote};
//! # use tenancy_core::{AuditSink, http::TenantLayer};
//! async fn rename(note: AuditNote) {
//!     note.target("template", 7).change("name", "old", "new");
//! }
//!
//! # fn build(sink: Arc<dyn AuditSink>, tenants: TenantLayer) -> Router {
//! Router::new()
//!     .route("/templates/{id}/name", post(rename)) // nothing to do with the log
//!     .layer(AuditLayer::new(sink))
//!     .layer(tenants)
//! # }
//! # }
//! ```

mod body;
mod layer;
mod length;
mod naming;
mod note;
mod origin;
mod pending;
mod route;

pub use body::AuditBody;
pub use layer::{AuditLayer, AuditService};
pub use note::AuditNote;
