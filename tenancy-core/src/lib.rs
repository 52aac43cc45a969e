#![doc = include_str!("../README.md")]

extern crate self as tenancy_core;

pub mod doctor;
mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "axum")]
pub mod http;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind};
pub use model::*;
pub use port::*;
pub use postgres::{
    DbOptions, Isolation, NoAudit, NoPlatformLog, NoRoles, OperatorDb, OwnerAuthorizer,
    PgPlatformLog, PgStore, PlatformEvents, PlatformQuery, PoolerMode, TenantDb, TenantList,
    TenantTx, TxOptions, WorkerDb, migrate, rls,
};
pub use service::{
    Invitations, Limits, Members, Ownership, Platform, Settings, Tenants, limit, perm,
};

/// What the macros of this crate name; not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use serde;
    pub use sqlx;
    pub use uuid::Uuid;
}
