//! For tests of hosts and of this crate: a store in memory, tenants with roles in one line, and the
//! conformance suite of [`PolicyStore`](crate::PolicyStore). Not covered by semantic versioning.

pub mod conformance;
mod fixture;
#[doc(hidden)]
pub mod fuzz;
mod memory;
mod policy;
#[cfg(feature = "axum")]
mod routes;
pub mod suite;

pub use fixture::{join, member, tenant};
pub use memory::MemoryPolicyStore;
#[cfg(feature = "axum")]
pub use routes::{Guard, RouteCheck, RouteReport, RouteSeen};
