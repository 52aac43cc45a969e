#![doc = include_str!("../README.md")]

extern crate self as tenancy_core;

mod adapter;
pub mod doctor;
mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "testing")]
pub mod testing;

pub use adapter::{ApiKeyLogin, LoginByToken};
#[cfg(feature = "jwt")]
pub use adapter::{JwtAlgorithm, JwtLogin, JwtOptions, ReqwestJwks, SubjectMapping};
#[cfg(feature = "webhooks")]
pub use adapter::{ReqwestWebhooks, ReqwestWebhooksBuilder};
pub use error::{Error, ErrorKind};
pub use model::*;
pub use port::*;
#[cfg(feature = "webhooks")]
pub use postgres::ParkedEvent;
pub use postgres::{
    CoreMaintenance, DbOptions, Isolation, Maintained, NoAudit, NoPlatformLog, NoRoles, OperatorDb,
    OwnerAuthorizer, PgPlatformLog, PgStore, PlatformEvents, PlatformQuery, PoolerMode, TenantDb,
    TenantList, TenantTx, TxOptions, Unbound, WorkerDb, migrate, rls,
};
pub use postgres::{Outbox, OutboxSink};
pub use service::{
    ApiKeys, Exports, Invitations, Limits, Members, Ownership, Platform, Settings, Support,
    Tenants, limit, perm,
};
#[cfg(feature = "webhooks")]
pub use service::{Relayed, WebhookAudit, WebhookHandler, WebhookRelay, WebhookSender, Webhooks};

/// What the macros of this crate name; not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use serde;
    pub use sqlx;
    pub use uuid::Uuid;
}
