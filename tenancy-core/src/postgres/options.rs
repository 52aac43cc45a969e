//! How the handles connect.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{connections::Connections, context_sql::TxOptions, tls, tx};
use crate::{Error, SecretText};

/// How [`TenantDb`](crate::TenantDb) connects.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DbOptions {
    /// Connections for the host's work; 10 by default.
    pub max_connections: u32,
    /// Connections for what must not wait for the host's open transactions: denials, audit
    /// entries of their own, checks of rights; 4 by default.
    pub max_aside_connections: u32,
    /// How long to wait for a connection of the pool that is free; 10 s by default. A server that
    /// can't be reached is reported sooner.
    pub acquire_timeout: Duration,
    /// How long a statement may take; 30 s by default.
    pub statement_timeout: Duration,
    /// How long to wait for a lock; 10 s by default.
    pub lock_timeout: Duration,
    /// How long an open transaction may do nothing; 60 s by default.
    pub idle_in_transaction_timeout: Duration,
    /// How long [`TenantDb::enter`](crate::TenantDb::enter) may go by what it found before. Zero, the
    /// default, asks the database each time. A member who was removed by another process is out after that
    /// long at the latest; what this process changes counts at once.
    pub enter_bound: Duration,
    /// How many memberships are kept for that; 10,000 by default, some 100 bytes each.
    pub max_entered: usize,
    /// What stands between the host and Postgres.
    pub pooler: PoolerMode,
    /// The URL of a replica for the reads that may be behind; none by default.
    pub replica: Option<Arc<SecretText>>,
    /// Whether a connection over TCP has to be encrypted, to a server whose certificate proves that
    /// it is the host of the URL: `sslmode=verify-full`, whatever the URL says. No by default: the
    /// URL decides, and modes that verify less are warned of. Needs the feature `tls`.
    pub require_tls: bool,
}

/// What stands between the host and Postgres.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum PoolerMode {
    /// Nothing, or a pooler that gives each client a session of its own.
    #[default]
    Session,
    /// A pooler that gives out server connections by the transaction, such as pgbouncer: no
    /// statements are cached, nothing is sent when connecting, the limits of [`DbOptions`] go out
    /// with each transaction, and nothing is left to a statement outside one.
    Transaction,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            max_connections: 10,
            max_aside_connections: 4,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_mins(1),
            enter_bound: Duration::ZERO,
            max_entered: 10_000,
            pooler: PoolerMode::Session,
            replica: None,
            require_tls: false,
        }
    }
}

impl DbOptions {
    /// Sets the number of connections for the host's work.
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Sets how long to wait for a free connection.
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets how long a membership may be taken for active without asking again.
    pub fn with_enter_bound(mut self, bound: Duration) -> Self {
        self.enter_bound = bound;
        self
    }

    /// Names a replica for the reads that say [`TxOptions::on_replica`].
    pub fn with_replica(mut self, url: impl Into<String>) -> Self {
        self.replica = Some(Arc::new(SecretText::new(url)));
        self
    }

    /// Says what stands between the host and Postgres.
    pub fn with_pooler(mut self, pooler: PoolerMode) -> Self {
        self.pooler = pooler;
        self
    }

    /// Refuses connections that are not encrypted, and servers that can't prove who they are.
    pub fn with_required_tls(mut self) -> Self {
        self.require_tls = true;
        self
    }

    pub(crate) fn connect_options(&self, url: &str) -> Result<PgConnectOptions, Error> {
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            Error::invalid("database_url_invalid", "the database URL can't be read")
        })?;
        let options = if self.require_tls {
            tls::require(options)
        } else {
            options
        };
        tls::warn_if_weak(&options);
        Ok(match self.pooler {
            // Poolers refuse settings that they don't know.
            PoolerMode::Transaction => options.statement_cache_capacity(0).extra_float_digits(None),
            PoolerMode::Session => options.options([
                (
                    "statement_timeout",
                    self.statement_timeout.as_millis().to_string(),
                ),
                ("lock_timeout", self.lock_timeout.as_millis().to_string()),
                (
                    "idle_in_transaction_session_timeout",
                    self.idle_in_transaction_timeout.as_millis().to_string(),
                ),
            ]),
        })
    }

    pub(crate) fn limits(&self) -> TxOptions {
        // As in Postgres, zero is no limit.
        let limit = |limit: Duration| Some(limit).filter(|limit| !limit.is_zero());
        TxOptions {
            statement_timeout: limit(self.statement_timeout),
            lock_timeout: limit(self.lock_timeout),
            idle_timeout: limit(self.idle_in_transaction_timeout),
            ..TxOptions::default()
        }
    }

    /// Connections that are made when they are needed.
    pub(crate) fn connections(&self, max: u32, connect: PgConnectOptions) -> Connections {
        Connections::new(self.pool(max).connect_lazy_with(connect))
    }

    fn pool(&self, max: u32) -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(self.acquire_timeout)
            .max_lifetime(Duration::from_mins(30))
            .test_before_acquire(false)
            // Whatever a connection comes back with, it is not a transaction.
            .after_release(|conn, _| {
                Box::pin(async move {
                    tx::end_on_release(conn).await?;
                    Ok(true)
                })
            })
    }
}
