//! A transaction that belongs to one tenant.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use sqlx::{
    Connection as _, PgConnection, Postgres, SqlSafeStr as _, SqlStr, pool::PoolConnection,
    postgres::PgTransactionManager,
};
use sqlx_core::transaction::TransactionManager as _;

use super::{
    connections::Connections,
    context_sql::{self, Mode, TxOptions},
    fault::lost_connection,
    to_end::ToEnd,
};
use crate::{Error, ErrorKind, RoleKey, TenantCtx};

type AfterCommit = Box<dyn FnOnce() + Send>;

/// A transaction in which Postgres shows and accepts rows of one tenant only.
///
/// It derefs to [`PgConnection`], so any sqlx query runs on it: `.execute(&mut *tx)`. Dropping it
/// rolls back without a wait; that is also the cheapest end of a read.
///
/// The protection is against SQL that forgets the tenant. Code that can run any SQL in the
/// transaction could set the settings anew: they are a context, not a credential.
pub struct TenantTx {
    // INVARIANT: sqlx counts one transaction on it, from opening to release. The pool's hook ends
    // what a connection comes back with, and tells by this count what that is.
    conn: PoolConnection<Postgres>,
    ctx: TenantCtx,
    after_commit: Vec<AfterCommit>,
}

impl TenantTx {
    /// Opens a transaction with its context in one round trip.
    ///
    /// A caller who goes away while he waits for a connection gives up his place. One who goes away
    /// half way through the opening leaves it to a task, which ends the transaction again: sqlx does
    /// not count one whose beginning was cancelled.
    ///
    /// Tried again until every idle connection that may be dead has been used up.
    pub(crate) async fn open(
        connections: &Connections,
        ctx: &TenantCtx,
        mode: Mode,
        options: &TxOptions,
    ) -> Result<Self, Error> {
        let begin = context_sql::begin(ctx, mode, options).into_sql_str();
        let mut left = connections.tries();
        loop {
            let conn = connections.acquire().await?;
            options.check_server(conn.server_version_num())?;
            match ToEnd::new(begun(conn, begin.clone())).await {
                Ok(conn) => {
                    return Ok(Self {
                        conn,
                        ctx: ctx.clone(),
                        after_commit: Vec::new(),
                    });
                }
                Err(error) if left > 0 && lost_connection(&error) => left -= 1,
                Err(error) => return Err(Error::from(error)),
            }
        }
    }

    /// Whose transaction it is.
    pub fn ctx(&self) -> &TenantCtx {
        &self.ctx
    }

    /// Sets the roles that role-scoped tables show rows for, until the transaction ends.
    ///
    /// One round trip. The roles should come from
    /// [`Authorizer::roles_in`](crate::Authorizer::roles_in) in this transaction.
    pub async fn bind_roles(&mut self, roles: &[RoleKey]) -> Result<(), Error> {
        sqlx::raw_sql(context_sql::bind_roles(roles))
            .execute(&mut *self.conn)
            .await?;
        Ok(())
    }

    /// Runs `hook` after a commit that is known to have succeeded, and never otherwise.
    ///
    /// For what may get lost: waking a worker, forgetting a cache entry. It must not block.
    pub fn after_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(hook));
    }

    /// Commits. Once begun, a commit is not cut off half way: if the caller goes away, a task
    /// finishes it and runs the hooks.
    ///
    /// # Errors
    /// [`CommitOutcomeUnknown`](ErrorKind::CommitOutcomeUnknown) if the connection died before the
    /// answer came. [`Conflict`](ErrorKind::Conflict) with the code `transaction_aborted` if an
    /// error of an earlier statement was passed over: Postgres would roll back and call that a
    /// success. Any error but the first means that nothing was committed.
    pub async fn commit(self) -> Result<(), Error> {
        let Self {
            mut conn,
            after_commit,
            ..
        } = self;
        ToEnd::new(async move {
            match sqlx::raw_sql(COMMIT).execute(&mut *conn).await {
                Ok(_) => {
                    // Before the hooks, which may wake who waits for a connection.
                    drop(conn);
                    for hook in after_commit {
                        hook();
                    }
                    Ok(())
                }
                Err(error) if lost_connection(&error) => Err(Error::new(
                    ErrorKind::CommitOutcomeUnknown,
                    "commit_outcome_unknown",
                    "the connection was lost during the commit: look before trying again",
                )),
                Err(error) => Err(Error::from(error)),
            }
        })
        .await
    }

    /// Rolls back and waits for it; dropping does the same without the wait.
    pub async fn rollback(mut self) -> Result<(), Error> {
        Ok(PgTransactionManager::rollback(&mut self.conn).await?)
    }
}

/// The connection, with a transaction begun on it. One that the server refused to begin is open there
/// and failed, and is ended here: the connection is still good.
async fn begun(
    mut conn: PoolConnection<Postgres>,
    begin: SqlStr,
) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    if let Err(error) = PgTransactionManager::begin(&mut conn, Some(begin)).await {
        if !lost_connection(&error) {
            sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
        }
        return Err(error);
    }
    Ok(conn)
}

/// One message, one round trip. `SELECT` fails where an earlier statement has failed; a `COMMIT`
/// alone would roll back there and report nothing. The transaction begun at the end is empty, and
/// keeps sqlx's count true; the release of the connection ends it.
pub(crate) const COMMIT: &str = "SELECT;COMMIT;BEGIN";

/// Leaves a connection that returns to the pool outside any transaction.
///
/// A counted transaction is ended by a rollback that goes out together with the pool's own ping,
/// so it costs no wait of its own. Without a count anything may be open: what was begun by hand,
/// or a beginning that was cancelled. A bare `ROLLBACK` would fill the server's log with warnings
/// where nothing is open; the pair is silent.
pub(crate) async fn end_on_release(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    if !conn.is_in_transaction() {
        sqlx::raw_sql("BEGIN; ROLLBACK").execute(conn).await?;
        return Ok(());
    }
    while conn.is_in_transaction() {
        PgTransactionManager::start_rollback(conn);
    }
    Ok(())
}

impl Deref for TenantTx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for TenantTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantTx")
            .field("ctx", &self.ctx)
            .finish_non_exhaustive()
    }
}
