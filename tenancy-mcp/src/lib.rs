#![doc = include_str!("../README.md")]

mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "rmcp")]
pub mod transport;

pub use error::{Error, ErrorKind};
pub use model::*;
pub use port::*;
pub use postgres::{COMPONENT, PgInvocations, PgRegistry};
pub use service::{
    McpCatalog, McpMaintenance, McpReconciler, McpRegistry, Reconciled, ToolRouter,
    ToolRouterBuilder, limit, perm,
};
