//! For axum 0.8: who is calling, in which tenant, and how errors are answered.
//!
//! [`TenantLayer`] authenticates a request, finds the tenant it names, enters it, and hands the
//! [`TenantCtx`](crate::TenantCtx) to handlers through the extractor [`Tenant`]. Errors are problem
//! details (RFC 9457) with the stable codes of [`Error`](crate::Error):
//!
//! | status | when |
//! |---|---|
//! | 400 | the input is wrong, or the request names no tenant |
//! | 401 | no login, or one that is not valid |
//! | 403 | a member without the permission |
//! | 404 | no such thing, no such tenant, or no membership in it: not told apart |
//! | 409 | something is in the way |
//! | 423 | the tenant is suspended |
//! | 429 | a limit is reached |
//! | 503 | a back end can't answer now; `Retry-After` says when to ask again |

mod extract;
mod layer;
mod problem;
mod source;

pub use extract::{Caller, Tenant};
pub use layer::{AuthLayer, AuthService, TenantLayer, TenantService};
pub use problem::{DenialRecorded, Problem};
pub use source::TenantSource;
