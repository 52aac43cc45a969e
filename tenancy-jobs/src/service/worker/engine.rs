//! What every part of a worker shares.

use std::sync::Arc;

use tenancy_core::{AuditSink, Authorizer, TenantDb, WorkerDb};
use tokio::sync::Notify;

use super::{handlers::Handlers, report::Counters};
use crate::{JobLedger, JobStore, QueueName, WorkerOptions};

pub(super) struct Engine {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) ledger: Arc<dyn JobLedger>,
    pub(super) worker_db: WorkerDb,
    pub(super) db: TenantDb,
    pub(super) audit: Arc<dyn AuditSink>,
    pub(super) authorizer: Option<Arc<dyn Authorizer>>,
    pub(super) handlers: Handlers,
    pub(super) queue: QueueName,
    pub(super) options: WorkerOptions,
    pub(super) wake: Arc<Notify>,
    pub(super) counters: Counters,
}

impl Engine {
    /// For people who look at the list of workers.
    pub(super) fn name() -> String {
        let host = std::env::var("HOSTNAME").unwrap_or_default();
        format!("{host}:{}", std::process::id())
    }
}
