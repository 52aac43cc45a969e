//! The host's catalog of providers, and what its operator does across tenants.

use std::time::Duration;

use tenancy_core::{OperatorDb, WorkerDb};

use crate::{Error, Provider, postgres};

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

    /// Deletes up to `limit` calls that were settled longer ago than `keep`, which counts as a
    /// day at least; answers how many. Calls under way, or whose outcome is unknown, stay.
    ///
    /// A key whose call was deleted is new again: keep calls longer than anybody retries them.
    pub async fn purge(&self, keep: Duration, limit: u32) -> Result<u64, Error> {
        postgres::purge(&self.db, keep, limit).await
    }
}
