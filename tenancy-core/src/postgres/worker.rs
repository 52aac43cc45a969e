//! The handle of background work.

use sqlx::PgPool;

use super::{
    connections::Connections,
    login, migrate,
    options::{DbOptions, PoolerMode},
};
use crate::{Error, ErrorKind};

/// Connections of a login that is a member of `tenancy_worker`.
///
/// It reaches across tenants, but only through the closed list of functions that the role may
/// execute: claiming jobs, sweeping, sealing, purging. What a job does for a tenant it does on a
/// [`TenantDb`](crate::TenantDb), in that tenant's context.
#[derive(Clone, Debug)]
pub struct WorkerDb(Connections);

impl WorkerDb {
    /// Connects with the defaults of [`DbOptions`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, &DbOptions::default().with_max_connections(4)).await
    }

    /// Connects, and refuses a login that is more or less than a worker.
    ///
    /// A worker's statements stand alone, and one of its connections may listen: it has to reach
    /// Postgres without a pooler that gives out connections by the transaction. Few connections
    /// serve many jobs; the jobs' own work goes through a [`TenantDb`](crate::TenantDb), pooled or
    /// not.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) with what to change.
    pub async fn connect_with(url: &str, options: &DbOptions) -> Result<Self, Error> {
        if options.pooler == PoolerMode::Transaction {
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "worker_behind_pooler",
                "a worker needs sessions of its own: give it a URL that leads past the pooler",
            ));
        }
        let connect = options.connect_options(url)?;
        let connections = options.connections(options.max_connections, connect);
        let mut conn = connections.acquire().await?;
        login::check_worker(&mut conn).await?;
        migrate::verify(&mut conn, &[&migrate::CORE]).await?;
        drop(conn);
        Ok(Self(connections))
    }

    /// The connections.
    pub fn pool(&self) -> &PgPool {
        self.0.pool()
    }
}
