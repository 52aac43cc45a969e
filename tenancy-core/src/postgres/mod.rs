//! The adapter: everything that knows SQL.

mod alone;
mod connections;
mod context_sql;
mod db;
mod enter;
mod entered;
mod fault;
mod login;
mod maintenance;
pub mod migrate;
mod operator;
mod options;
mod outbox;
mod platform_log;
mod renew;
mod replica;
pub mod rls;
mod store;
mod tenant_list;
pub(crate) mod tenant_rows;
mod tls;
mod to_end;
mod turns;
mod tx;
mod unbound;
#[cfg(feature = "webhooks")]
pub(crate) mod webhook_events;
#[cfg(feature = "webhooks")]
pub(crate) mod webhook_state;
mod worker;

pub use alone::{NoAudit, NoPlatformLog, NoRoles, OwnerAuthorizer};
pub use context_sql::{Isolation, TxOptions};
pub use db::TenantDb;
pub use maintenance::{CoreMaintenance, Maintained};
pub use operator::OperatorDb;
pub use options::{DbOptions, PoolerMode};
pub use outbox::{Outbox, OutboxSink};
pub use platform_log::{PgPlatformLog, PlatformEvents, PlatformQuery};
pub use store::PgStore;
pub use tenant_list::TenantList;
#[cfg(feature = "webhooks")]
pub(crate) use turns::Turns;
pub use tx::TenantTx;
pub use unbound::Unbound;
#[cfg(feature = "webhooks")]
pub use webhook_events::ParkedEvent;
pub use worker::WorkerDb;
