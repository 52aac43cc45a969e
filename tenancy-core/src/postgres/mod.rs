//! The adapter: everything that knows SQL.

mod alone;
mod context_sql;
mod db;
mod fault;
mod login;
pub mod migrate;
mod operator;
mod outbox;
mod platform_log;
pub mod rls;
mod store;
mod tenant_list;
pub(crate) mod tenant_rows;
mod tx;
mod worker;

pub use alone::{NoAudit, NoPlatformLog, NoRoles, OwnerAuthorizer};
pub use context_sql::{Isolation, TxOptions};
pub use db::{DbOptions, PoolerMode, TenantDb};
pub use operator::OperatorDb;
pub use outbox::{Outbox, OutboxSink};
pub use platform_log::{PgPlatformLog, PlatformEvents, PlatformQuery};
pub use store::PgStore;
pub use tenant_list::TenantList;
pub use tx::TenantTx;
pub use worker::WorkerDb;
