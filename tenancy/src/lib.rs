#![doc = include_str!("../README.md")]

pub mod citus;
mod components;
mod doctor;
mod export;

#[cfg(feature = "authz")]
pub use components::migrate_with_roles;
pub use components::{Migrated, components, migrate, single_node, verify};
pub use doctor::{doctor, doctor_with};
pub use export::export_options;
pub use tenancy_core as core;

#[cfg(feature = "audit")]
pub use tenancy_audit as audit;
#[cfg(feature = "authz")]
pub use tenancy_authz as authz;
#[cfg(feature = "jobs")]
pub use tenancy_jobs as jobs;
#[cfg(feature = "mcp")]
pub use tenancy_mcp as mcp;
#[cfg(feature = "rag")]
pub use tenancy_rag as rag;
#[cfg(feature = "secrets")]
pub use tenancy_secrets as secrets;
