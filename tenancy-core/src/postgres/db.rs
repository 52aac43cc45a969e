//! The handle a host works with.

use std::sync::Arc;

use sqlx::PgPool;

use super::{
    connections::Connections,
    context_sql::{self, Mode, TxOptions},
    entered::Entered,
    login,
    migrate::{self, Component},
    options::{DbOptions, PoolerMode},
    platform_log::PgPlatformLog,
    replica::Replica,
    tx::TenantTx,
    unbound::Unbound,
};
use crate::{Access, Error, ErrorKind, PlatformLog, SecretText, TenantCtx};

/// A pool of connections that can only be used for one tenant at a time.
///
/// ```no_run
/// # async fn run(tenant: tenancy_core::TenantId, user: tenancy_core::UserId)
/// # -> Result<(), tenancy_core::Error> {
/// use tenancy_core::TenantDb;
///
/// let db = TenantDb::connect("postgres://app@localhost/host").await?;
/// let ctx = db.enter(tenant, user).await?;
/// let mut tx = db.write(&ctx).await?;
/// sqlx::query("UPDATE templates SET name = 'x' WHERE tenant_id = $1")
///     .bind(ctx.tenant())
///     .execute(&mut *tx)
///     .await?;
/// tx.commit().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TenantDb(Arc<Pools>, Arc<dyn PlatformLog>);

#[derive(Debug)]
pub(super) struct Pools {
    main: Connections,
    pub(super) aside: Connections,
    replica: Option<Replica>,
    pub(super) entered: Entered,
    pooler: PoolerMode,
    /// What a session can't be told once and for all behind a pooler.
    limits: TxOptions,
}

/// What a transaction is opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    Read,
    Write,
    /// The trail, which also has to tell of who comes when his session is over.
    Aside,
}

impl TenantDb {
    /// Connects with the defaults of [`DbOptions`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, DbOptions::default()).await
    }

    /// Connects, and refuses a login that row-level security does not bind: a superuser, one with
    /// `BYPASSRLS`, an owner of tenant tables, or a member of such a role.
    ///
    /// The schema of this crate has to be one that it can work with; [`verify`](Self::verify) looks
    /// at those of the others.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) with what to change;
    /// [`Unavailable`](ErrorKind::Unavailable) after a moment if the server can't be reached.
    pub async fn connect_with(url: &str, options: DbOptions) -> Result<Self, Error> {
        let connect = options.connect_options(url)?;
        let main = options.connections(options.max_connections, connect.clone());
        let mut conn = Unbound::open(&main, options.pooler).await?;
        login::check_app(&mut conn).await?;
        migrate::verify(&mut conn, &[&migrate::CORE]).await?;
        drop(conn);
        let aside = options.connections(options.max_aside_connections.max(1), connect);
        let replica = match &options.replica {
            Some(url) => Some(Replica::connect(url.expose(), &options).await?),
            None => None,
        };
        let entered = Entered::new(options.enter_bound, options.max_entered);
        let platform = Arc::new(PgPlatformLog::new(aside.clone(), options.pooler));
        let pools = Pools {
            main,
            aside,
            replica,
            entered,
            pooler: options.pooler,
            limits: options.limits(),
        };
        Ok(Self(Arc::new(pools), platform))
    }

    pub(super) fn pools(&self) -> &Pools {
        &self.0
    }

    /// Replaces the log of what happens outside of every tenant. By default refused entries are
    /// kept in this database, by a [`PgPlatformLog`].
    pub fn with_platform_log(self, platform: Arc<dyn PlatformLog>) -> Self {
        Self(self.0, platform)
    }

    /// The log of what happens outside of every tenant, for layers that refuse a login.
    pub fn platform_log(&self) -> &Arc<dyn PlatformLog> {
        &self.1
    }

    /// Refuses a schema that these crates can't work with; reads only.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured): older than `components`, or newer in a way
    /// that breaks them.
    pub async fn verify(&self, components: &[&Component]) -> Result<(), Error> {
        migrate::verify(&mut *self.unbound().await?, components).await
    }

    /// Opens a transaction for reading: one round trip. Drop it when done.
    pub async fn read(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        self.read_with(ctx, &TxOptions::default()).await
    }

    /// Opens a transaction for reading, with options.
    pub async fn read_with(&self, ctx: &TenantCtx, options: &TxOptions) -> Result<TenantTx, Error> {
        self.open(ctx, Purpose::Read, options).await
    }

    /// Opens a transaction for writing: one round trip. Nothing is kept without a commit.
    ///
    /// # Errors
    /// [`Suspended`](ErrorKind::Suspended) if the context is read-only;
    /// [`NotAMember`](ErrorKind::NotAMember), as of every transaction, if the session of support that
    /// the context was made in is over.
    pub async fn write(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        self.write_with(ctx, &TxOptions::default()).await
    }

    /// Opens a transaction for writing, with options.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_with(
        &self,
        ctx: &TenantCtx,
        options: &TxOptions,
    ) -> Result<TenantTx, Error> {
        if ctx.access() == Access::ReadOnly {
            let message =
                "this can only be read: the tenant is suspended, or open to support for reading";
            return Err(Error::new(
                ErrorKind::Suspended,
                "tenant_read_only",
                message,
            ));
        }
        self.open(ctx, Purpose::Write, options).await
    }

    /// Opens a short transaction on connections that the host's open transactions can't use up.
    ///
    /// For the crates of the family: denials and checks that happen while the caller holds a
    /// transaction. Open to a read-only context, since even that leaves a trail.
    pub async fn aside(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        self.open(ctx, Purpose::Aside, &TxOptions::default()).await
    }

    async fn open(
        &self,
        ctx: &TenantCtx,
        purpose: Purpose,
        options: &TxOptions,
    ) -> Result<TenantTx, Error> {
        let pooler = self.0.pooler;
        let read_only = purpose == Purpose::Read;
        let mode = Mode {
            read_only,
            pooler,
            asks: purpose != Purpose::Aside,
        };
        let with_limits;
        let options = match pooler {
            PoolerMode::Session => options,
            PoolerMode::Transaction => {
                with_limits = options.or_limits_of(&self.0.limits);
                &with_limits
            }
        };
        if let Some(replica) = self.0.replica.as_ref()
            && read_only
            && options.replica
            && let Some(tx) = replica.open(ctx, mode, options).await?
        {
            return Ok(tx);
        }
        let connections = match purpose {
            Purpose::Read | Purpose::Write => &self.0.main,
            Purpose::Aside => &self.0.aside,
        };
        TenantTx::open(connections, ctx, mode, options).await
    }

    /// Uses another password for new connections; those that stand go on, and are replaced within
    /// half an hour. For hosts whose passwords rotate: set the new one here while the old one is
    /// still good, or right after the change.
    pub fn set_password(&self, password: &SecretText) {
        self.0.main.set_password(password);
        self.0.aside.set_password(password);
        if let Some(replica) = &self.0.replica {
            replica.set_password(password);
        }
    }

    /// A connection without a tenant, for statements of the host that belong to none, whatever
    /// stands in between: end with [`Unbound::done`] what has to be kept.
    pub async fn unbound(&self) -> Result<Unbound, Error> {
        Unbound::open(&self.0.main, self.0.pooler).await
    }

    pub(super) async fn unbound_aside(&self) -> Result<Unbound, Error> {
        Unbound::open(&self.0.aside, self.0.pooler).await
    }

    /// Connections without a tenant: they see no row of any tenant table.
    ///
    /// For the host's own tables that belong to no tenant, and for functions that are keyed by a
    /// secret. Anything begun here is rolled back when its connection returns. Behind a pooler that
    /// gives out connections by the transaction, use transactions only, or
    /// [`unbound`](Self::unbound).
    pub fn without_tenant(&self) -> &PgPool {
        self.0.main.pool()
    }

    /// What stands between this handle and the database: LISTEN needs a session of its own.
    pub fn pooler(&self) -> PoolerMode {
        self.0.pooler
    }

    /// What binds a transaction to a context, for hosts that open theirs with Diesel, `SeaORM`,
    /// tokio-postgres or another library. Send it first in the transaction, in one message of the
    /// simple protocol: `batch_execute`, `execute_unprepared`, `raw_sql`.
    ///
    /// All of it holds or the transaction can only be rolled back. The server refuses it outside of
    /// a transaction (`25P01`), where it would hold for nothing; on a login that row-level security
    /// does not confine (`42501`); and as a prepared statement. A context that is read-only makes the
    /// transaction read-only. Sent again in the same transaction, it replaces what it set.
    ///
    /// It is made of uuids, checked keys and constants. The limits of
    /// [`DbOptions`] are the other library's to set.
    pub fn context_sql(&self, ctx: &TenantCtx) -> String {
        context_sql::for_another_library(ctx)
    }

    /// Closes all connections; waits for those in use.
    pub async fn close(&self) {
        self.1.flush().await;
        self.0.main.close().await;
        self.0.aside.close().await;
        if let Some(replica) = &self.0.replica {
            replica.close().await;
        }
    }
}
