//! A transaction that belongs to one tenant.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tracing::Instrument as _;

use super::{
    context_sql::{self, TxOptions},
    fault::lost_connection,
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
    tx: Transaction<'static, Postgres>,
    ctx: TenantCtx,
    after_commit: Vec<AfterCommit>,
}

impl TenantTx {
    /// Opens a transaction with its context in one round trip.
    ///
    /// Runs in a task of its own: sqlx's `begin` returns a connection to the pool inside a
    /// transaction, with the tenant's settings, when it is cancelled. A caller who goes away
    /// leaves the task to finish, and its transaction is rolled back.
    ///
    /// An idle connection that the server closed meanwhile is only found out by using it, so
    /// opening is tried again until every idle one may have been used up.
    pub(crate) async fn open(
        pool: &PgPool,
        ctx: &TenantCtx,
        read_only: bool,
        options: &TxOptions,
    ) -> Result<Self, Error> {
        let (pool, context) = (pool.clone(), ctx.clone());
        let options = options.clone();
        let opening = async move {
            let mut left = pool.size() + 1;
            loop {
                let begin = context_sql::begin(&context, read_only, &options);
                match pool.begin_with(begin).await {
                    Ok(tx) => {
                        return Ok(Self {
                            tx,
                            ctx: context,
                            after_commit: Vec::new(),
                        });
                    }
                    Err(error) if left > 0 && lost_connection(&error) => left -= 1,
                    Err(error) => return Err(Error::from(error)),
                }
            }
        };
        join(tokio::spawn(opening.in_current_span())).await
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
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Runs `hook` after a commit that is known to have succeeded, and never otherwise.
    ///
    /// For what may get lost: waking a worker, forgetting a cache entry. It must not block.
    pub fn after_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(hook));
    }

    /// Commits, in a task of its own: once asked for, a commit is not cut off half way.
    ///
    /// # Errors
    /// [`CommitOutcomeUnknown`](ErrorKind::CommitOutcomeUnknown) if the connection died before the
    /// answer came; any other error means that nothing was committed.
    pub async fn commit(self) -> Result<(), Error> {
        let Self {
            tx, after_commit, ..
        } = self;
        let committing = async move {
            match tx.commit().await {
                Ok(()) => {
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
        };
        join(tokio::spawn(committing.in_current_span())).await
    }

    /// Rolls back and waits for it; dropping does the same without the wait.
    pub async fn rollback(self) -> Result<(), Error> {
        Ok(self.tx.rollback().await?)
    }
}

async fn join<T>(task: tokio::task::JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    task.await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Unavailable,
            "runtime_stopping",
            "the runtime is shutting down",
        ))
    })
}

impl Deref for TenantTx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for TenantTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

impl fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantTx")
            .field("ctx", &self.ctx)
            .finish_non_exhaustive()
    }
}
