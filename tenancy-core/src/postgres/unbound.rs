//! A connection that belongs to no tenant.

use std::ops::{Deref, DerefMut};

use sqlx::postgres::PgTransactionManager;
use sqlx::{PgConnection, Postgres, SqlSafeStr as _, pool::PoolConnection};
use sqlx_core::transaction::TransactionManager as _;

use super::{
    connections::Connections, context_sql::FRESH_BEGIN, fault::lost_connection,
    options::PoolerMode, tx::COMMIT,
};
use crate::Error;

/// A connection without a tenant, for statements that stand alone: it sees no row of any tenant
/// table. See [`TenantDb::unbound`](crate::TenantDb::unbound).
///
/// Behind a pooler that gives out server connections by the transaction, this is a transaction:
/// a statement is parsed in one exchange and executed in another, and in between the server
/// connection may have gone to somebody else. Elsewhere each statement commits by itself, as it
/// does on a bare connection, and [`done`](Self::done) does nothing.
#[derive(Debug)]
pub struct Unbound {
    conn: PoolConnection<Postgres>,
    in_transaction: bool,
}

impl Unbound {
    pub(crate) async fn open(connections: &Connections, pooler: PoolerMode) -> Result<Self, Error> {
        let in_transaction = pooler == PoolerMode::Transaction;
        let mut left = connections.tries();
        loop {
            let mut conn = connections.acquire().await?;
            if in_transaction {
                let begin = Some(FRESH_BEGIN.into_sql_str());
                match PgTransactionManager::begin(&mut conn, begin).await {
                    Err(error) if left > 0 && lost_connection(&error) => {
                        left -= 1;
                        continue;
                    }
                    opened => opened?,
                }
            }
            return Ok(Self {
                conn,
                in_transaction,
            });
        }
    }

    /// Keeps what was done.
    pub async fn done(mut self) -> Result<(), Error> {
        if self.in_transaction {
            sqlx::raw_sql(COMMIT).execute(&mut *self.conn).await?;
        }
        Ok(())
    }
}

impl Deref for Unbound {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Unbound {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}
