//! Over HTTP: who is calling, in which tenant, and how errors are answered.
//!
//! [`TenantLayer`] authenticates a request, finds the tenant it names, enters it, and puts the
//! [`TenantCtx`](crate::TenantCtx) into the request's extensions. [`AuthLayer`] does the first part
//! only. Both are tower layers over `http::Request<A>` and `http::Response<B>`, for any bodies where
//! `B: From<String>`, so hyper, tonic and every other stack of tower services can have them. With
//! the feature `axum` come the extractors `Tenant` and `Caller`,
//! and errors that are responses.
//!
//! Errors are problem details (RFC 9457) with the stable codes of [`Error`](crate::Error):
//!
//! | status | when |
//! |---|---|
//! | 400 | the input is wrong, or the request names no tenant |
//! | 401 | no login, or one that is not valid |
//! | 403 | a member without the permission |
//! | 404 | no such thing, no such tenant, or no membership in it: not told apart |
//! | 409 | something is in the way |
//! | 423 | the tenant is suspended |
//! | 429 | a limit is reached; `Retry-After` where waiting helps |
//! | 503 | a back end can't answer now; `Retry-After` says when to ask again |
//!
//! A request keeps its `x-request-id`, if it is a uuid, and its W3C `traceparent`, if it is one;
//! otherwise it gets new ones. Both are set on the request, on the response and on the span, and
//! the request id is in every problem that is answered inside of a layer.

#[cfg(feature = "axum")]
mod axum;
mod correlation;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
pub(crate) mod host;
mod layer;
mod problem;
mod service;
mod source;
mod tenant_layer;

#[cfg(feature = "axum")]
pub use self::axum::{Caller, Tenant};
pub use layer::{AuthLayer, AuthService};
pub use problem::{DenialRecorded, Problem};
pub use service::LayerService;
pub use source::TenantSource;
pub use tenant_layer::{TenantLayer, TenantService};
