//! The host's catalog of providers, and what its operator does across tenants.

use std::{fmt, sync::Arc, time::Duration};

use tenancy_core::{AuditSink, OperatorDb, ServiceKey, TenantCtx, TenantDb, TenantId, WorkerDb};

use crate::{Error, InvocationStore, PgInvocations, Provider, postgres};

/// Enters providers in the host's catalog: what tenants can connect to.
///
/// Only the operator's login can; a tenant chooses from what is there.
#[derive(Clone, Debug)]
pub struct McpCatalog {
    db: OperatorDb,
}

impl McpCatalog {
    /// The catalog of this database.
    pub fn new(db: OperatorDb) -> Self {
        Self { db }
    }

    /// Enters a provider, or changes the one of the same key. Sessions with an old address end
    /// with the next call.
    pub async fn put(&self, provider: &Provider) -> Result<(), Error> {
        postgres::put_provider(&self.db, provider).await?;
        tracing::info!(provider = %provider.key, allowed = provider.allowed, "provider entered");
        Ok(())
    }
}

/// Forgets old calls of all tenants.
#[derive(Clone, Debug)]
pub struct McpMaintenance {
    db: WorkerDb,
}

impl McpMaintenance {
    /// Runs as the worker's login.
    pub fn new(db: WorkerDb) -> Self {
        Self { db }
    }

    /// Deletes up to `limit` calls that were settled, or left for a next try that never came,
    /// longer ago than `keep`, which counts as a day at least; answers how many. Calls under way,
    /// or whose outcome is unknown, stay.
    ///
    /// A key whose call was deleted is new again: keep calls longer than anybody retries them.
    pub async fn purge(&self, keep: Duration, limit: u32) -> Result<u64, Error> {
        postgres::purge(&self.db, keep, limit).await
    }
}

/// Ends the tries of callers who are gone, in all tenants, and records each in its tenant's audit log.
///
/// The next call of the same key does so too; this is for keys that nobody comes back for. Any
/// number may run at once: each lost try is ended and recorded once.
#[derive(Clone)]
pub struct McpReconciler {
    worker: WorkerDb,
    db: TenantDb,
    calls: PgInvocations,
}

/// What a run of [`McpReconciler`] did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Reconciled {
    /// How many tries were ended.
    pub ended: u64,
    /// Tenants that failed, with the error's code. They don't hold up the others.
    pub failed: Vec<(TenantId, &'static str)>,
}

impl McpReconciler {
    /// Finds them with the worker's login, and ends them with the app's, in the tenant's context, as
    /// the service `mcp_reconciler`.
    pub fn new(worker: WorkerDb, db: TenantDb, audit: Arc<dyn AuditSink>) -> Self {
        let calls = PgInvocations::new(db.clone(), audit);
        Self { worker, db, calls }
    }

    /// Ends what is there, up to `limit` tries, of at most 1,000 tenants. A lease is over by the
    /// database's clock alone. Suspended tenants wait until they are resumed.
    ///
    /// # Errors
    /// As [`Error::retry`] says, if the tenants can't be listed.
    pub async fn run(&self, limit: u32) -> Result<Reconciled, Error> {
        let mut done = Reconciled::default();
        for tenant in postgres::tenants_with_lost(&self.worker, TENANTS).await? {
            let left = u64::from(limit).saturating_sub(done.ended);
            if left == 0 {
                break;
            }
            match self.one(tenant, left).await {
                Ok(ended) => done.ended += ended,
                Err(error) => {
                    tracing::warn!(%error, %tenant, "lost tries were not ended");
                    done.failed.push((tenant, error.code()));
                }
            }
        }
        Ok(done)
    }

    /// A tenant's tries, in transactions of at most [`BATCH`].
    async fn one(&self, tenant: TenantId, most: u64) -> Result<u64, Error> {
        let ctx = self.enter(tenant).await?;
        let mut ended = 0;
        while ended < most {
            let batch = u16::try_from(most - ended).unwrap_or(BATCH).min(BATCH);
            let some = self.calls.end_lost(&ctx, batch).await?;
            ended += some;
            if some < u64::from(batch) {
                break;
            }
        }
        Ok(ended)
    }

    async fn enter(&self, tenant: TenantId) -> Result<TenantCtx, Error> {
        Ok(self.db.enter_system(tenant, RECONCILER, Vec::new()).await?)
    }
}

impl fmt::Debug for McpReconciler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpReconciler").finish_non_exhaustive()
    }
}

const RECONCILER: ServiceKey = ServiceKey::from_static("mcp_reconciler");
const TENANTS: u32 = 1_000;
const BATCH: u16 = 100;
