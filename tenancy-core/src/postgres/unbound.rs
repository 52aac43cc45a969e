//! A connection that belongs to no tenant.

use std::ops::{Deref, DerefMut};

use sqlx::postgres::PgTransactionManager;
use sqlx::{PgConnection, PgPool, Postgres, SqlSafeStr as _, pool::PoolConnection};
use sqlx_core::transaction::TransactionManager as _;

use super::{context_sql::FRESH_BEGIN, options::PoolerMode, tx::COMMIT};
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
    pub(crate) async fn open(pool: &PgPool, pooler: PoolerMode) -> Result<Self, Error> {
        let mut conn = pool.acquire().await?;
        let in_transaction = pooler == PoolerMode::Transaction;
        if in_transaction {
            let begin = FRESH_BEGIN.into_sql_str();
            PgTransactionManager::begin(&mut conn, Some(begin)).await?;
        }
        Ok(Self {
            conn,
            in_transaction,
        })
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
