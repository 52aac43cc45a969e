//! The handle a host works with.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    context_sql::{self, TxOptions},
    login,
    migrate::{self, Component},
    platform_log::PgPlatformLog,
    tx::TenantTx,
};
use crate::{
    Access, Actor, ApiKeyId, Error, ErrorKind, PermissionKey, PlatformEvent, PlatformEventKind,
    PlatformLog, Principal, ServiceKey, TenantCtx, TenantId, TenantStatus, UserId,
};

/// How [`TenantDb`] connects.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DbOptions {
    /// Connections for the host's work; 10 by default.
    pub max_connections: u32,
    /// Connections for what must not wait for the host's open transactions: denials, audit
    /// entries of their own, checks of rights; 4 by default.
    pub max_aside_connections: u32,
    /// How long to wait for a free connection; 10 s by default.
    pub acquire_timeout: Duration,
    /// How long a statement may take; 30 s by default.
    pub statement_timeout: Duration,
    /// How long to wait for a lock; 10 s by default.
    pub lock_timeout: Duration,
    /// How long an open transaction may do nothing; 60 s by default.
    pub idle_in_transaction_timeout: Duration,
    /// What stands between the host and Postgres.
    pub pooler: PoolerMode,
}

/// What stands between the host and Postgres.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum PoolerMode {
    /// Nothing, or a pooler that gives each client a session of its own.
    #[default]
    Session,
    /// A pooler that gives out server connections by the transaction, such as pgbouncer: no
    /// statements are cached, and no settings are sent when connecting. Set the time limits on
    /// the role instead: `ALTER ROLE … SET statement_timeout = '30s'`.
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
            pooler: PoolerMode::Session,
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

    /// Says what stands between the host and Postgres.
    pub fn with_pooler(mut self, pooler: PoolerMode) -> Self {
        self.pooler = pooler;
        self
    }

    pub(crate) fn connect_options(&self, url: &str) -> Result<PgConnectOptions, Error> {
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            Error::invalid("database_url_invalid", "the database URL can't be read")
        })?;
        Ok(match self.pooler {
            PoolerMode::Transaction => options.statement_cache_capacity(0),
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

    pub(crate) fn pool(&self, max: u32) -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(self.acquire_timeout)
            .max_lifetime(Duration::from_mins(30))
            .test_before_acquire(false)
            // The second net below TenantTx: whatever a connection comes back with, it is not a
            // transaction. A bare ROLLBACK would fill the server's log with warnings.
            .after_release(|conn, _| {
                Box::pin(async move {
                    sqlx::raw_sql("BEGIN; ROLLBACK").execute(conn).await?;
                    Ok(true)
                })
            })
    }
}

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
pub struct TenantDb(Arc<Pools>);

#[derive(Debug)]
struct Pools {
    main: PgPool,
    aside: PgPool,
    platform: Arc<dyn PlatformLog>,
}

impl TenantDb {
    /// Connects with the defaults of [`DbOptions`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, DbOptions::default()).await
    }

    /// Connects, and refuses a login that row-level security does not bind: a superuser, one with
    /// `BYPASSRLS`, an owner of tenant tables, or a member of such a role.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) with what to change.
    pub async fn connect_with(url: &str, options: DbOptions) -> Result<Self, Error> {
        let connect = options.connect_options(url)?;
        let main = options
            .pool(options.max_connections)
            .connect_lazy_with(connect.clone());
        login::check_app(&main).await?;
        let aside = options
            .pool(options.max_aside_connections.max(1))
            .connect_lazy_with(connect);
        let platform = Arc::new(PgPlatformLog::new(aside.clone()));
        Ok(Self(Arc::new(Pools {
            main,
            aside,
            platform,
        })))
    }

    /// Replaces the log of what happens outside of every tenant. By default refused entries are
    /// kept in this database, by a [`PgPlatformLog`].
    pub fn with_platform_log(self, platform: Arc<dyn PlatformLog>) -> Self {
        let (main, aside) = (self.0.main.clone(), self.0.aside.clone());
        Self(Arc::new(Pools {
            main,
            aside,
            platform,
        }))
    }

    /// The log of what happens outside of every tenant, for layers that refuse a login.
    pub fn platform_log(&self) -> &Arc<dyn PlatformLog> {
        &self.0.platform
    }

    /// Refuses a schema that these crates can't work with; reads only.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured): older than `components`, or newer in a way
    /// that breaks them.
    pub async fn verify(&self, components: &[&Component]) -> Result<(), Error> {
        migrate::verify(&self.0.main, components).await
    }

    /// Enters a tenant as one of its members. A refusal is noted in the platform's log: there is no
    /// context in which a tenant's own log could be written.
    ///
    /// # Errors
    /// [`NotAMember`](ErrorKind::NotAMember) whether the tenant exists or not;
    /// [`Suspended`](ErrorKind::Suspended) if nobody may enter it.
    pub async fn enter(&self, tenant: TenantId, user: UserId) -> Result<TenantCtx, Error> {
        self.enter_as(tenant, Principal::user(user)).await
    }

    /// Enters a tenant as a part of the host, with exactly these permissions.
    ///
    /// # Errors
    /// As [`enter`](Self::enter); the tenant has to exist.
    pub async fn enter_system(
        &self,
        tenant: TenantId,
        service: ServiceKey,
        permissions: Vec<PermissionKey>,
    ) -> Result<TenantCtx, Error> {
        self.enter_as(tenant, Principal::service(service, permissions))
            .await
    }

    /// Enters a tenant as a stored principal, checked anew: how a job resumes. A person who acts for
    /// another needs a session that runs ([`Support`](crate::Support)).
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    #[tracing::instrument(level = "debug", skip_all, fields(%tenant))]
    pub async fn enter_as(
        &self,
        tenant: TenantId,
        principal: Principal,
    ) -> Result<TenantCtx, Error> {
        let actor = PlatformEvent::new(PlatformEventKind::EnterRefused, "")
            .with_tenant(tenant)
            .with_actor(&principal);
        let entered = self.admit(tenant, principal).await;
        if let Err(error) = &entered
            && matches!(error.kind(), ErrorKind::NotAMember | ErrorKind::Suspended)
        {
            let code = error.code();
            self.0.platform.note(PlatformEvent { code, ..actor });
        }
        entered
    }

    async fn admit(&self, tenant: TenantId, principal: Principal) -> Result<TenantCtx, Error> {
        let (status, may_write) = match (&principal.actor, principal.on_behalf_of) {
            (Actor::User { id }, None) => (self.member_tenant_status(tenant, *id).await?, true),
            (Actor::User { id }, Some(member)) => self.impersonated(tenant, *id, member).await?,
            (Actor::ApiKey { id, .. }, _) => (self.key_tenant_status(tenant, *id).await?, true),
            _ => (self.tenant_status(tenant).await?, true),
        };
        let access = match status.as_deref().and_then(TenantStatus::parse) {
            Some(TenantStatus::Active) if may_write => Access::ReadWrite,
            Some(TenantStatus::Active | TenantStatus::SuspendedReadOnly) => Access::ReadOnly,
            Some(TenantStatus::SuspendedBlocked | TenantStatus::Deleting) => {
                return Err(Error::new(
                    ErrorKind::Suspended,
                    "tenant_suspended",
                    "the tenant is suspended",
                ));
            }
            Some(TenantStatus::Purging | TenantStatus::Deleted) | None => {
                return Err(Error::not_a_member());
            }
        };
        Ok(TenantCtx::proven(tenant, principal, access))
    }

    /// The tenant's state and whether writing is open, if a session of support runs.
    async fn impersonated(
        &self,
        tenant: TenantId,
        support: UserId,
        member: UserId,
    ) -> Result<(Option<String>, bool), Error> {
        let row: Option<(String, bool)> =
            sqlx::query_as(include_str!("sql/enter_impersonating.sql"))
                .bind(tenant)
                .bind(support)
                .bind(member)
                .fetch_optional(&self.0.aside)
                .await?;
        Ok(row.map_or((None, false), |(status, may_write)| {
            (Some(status), may_write)
        }))
    }

    /// The tenant's state, if the user is an active member.
    pub(crate) async fn member_tenant_status(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<String>, Error> {
        let row: Option<(String, String)> = sqlx::query_as(include_str!("sql/enter.sql"))
            .bind(tenant)
            .bind(user)
            .fetch_optional(&self.0.aside)
            .await?;
        Ok(row
            .filter(|(_, member)| member == "active")
            .map(|(tenant, _)| tenant))
    }

    /// The tenant's state, if the key is one of its own that can be used.
    async fn key_tenant_status(
        &self,
        tenant: TenantId,
        key: ApiKeyId,
    ) -> Result<Option<String>, Error> {
        Ok(sqlx::query_scalar("SELECT tenancy.enter_api_key($1, $2)")
            .bind(tenant)
            .bind(key)
            .fetch_one(&self.0.aside)
            .await?)
    }

    pub(crate) async fn tenant_status(&self, tenant: TenantId) -> Result<Option<String>, Error> {
        Ok(sqlx::query_scalar("SELECT tenancy.tenant_status($1)")
            .bind(tenant)
            .fetch_one(&self.0.aside)
            .await?)
    }

    /// The user of an outside login, made at the first sight of it.
    pub async fn user_for(&self, issuer: &str, subject: &str) -> Result<UserId, Error> {
        Ok(
            sqlx::query_scalar("SELECT tenancy.user_for_identity($1, $2, $3)")
                .bind(issuer)
                .bind(subject)
                .bind(UserId::new())
                .fetch_one(&self.0.aside)
                .await?,
        )
    }

    /// Opens a transaction for reading: one round trip. Drop it when done.
    pub async fn read(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        self.read_with(ctx, &TxOptions::default()).await
    }

    /// Opens a transaction for reading, with options.
    pub async fn read_with(&self, ctx: &TenantCtx, options: &TxOptions) -> Result<TenantTx, Error> {
        TenantTx::open(&self.0.main, ctx, true, options).await
    }

    /// Opens a transaction for writing: one round trip. Nothing is kept without a commit.
    ///
    /// # Errors
    /// [`Suspended`](ErrorKind::Suspended) if the context is read-only.
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
        TenantTx::open(&self.0.main, ctx, false, options).await
    }

    /// Opens a short transaction on connections that the host's open transactions can't use up.
    ///
    /// For the crates of the family: denials and checks that happen while the caller holds a
    /// transaction. Open to a read-only context, since even that leaves a trail.
    pub async fn aside(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        TenantTx::open(&self.0.aside, ctx, false, &TxOptions::default()).await
    }

    /// Connections without a tenant: they see no row of any tenant table.
    ///
    /// For the host's own tables that belong to no tenant, and for functions that are keyed by a
    /// secret. Anything begun here is rolled back when its connection returns.
    pub fn without_tenant(&self) -> &PgPool {
        &self.0.main
    }

    /// The statements that bind a transaction to a context, for hosts that open theirs with
    /// Diesel, `SeaORM` or tokio-postgres. Send them right behind `BEGIN`.
    pub fn context_sql(&self, ctx: &TenantCtx) -> String {
        context_sql::settings(ctx)
    }

    /// Closes all connections; waits for those in use.
    pub async fn close(&self) {
        self.0.platform.flush().await;
        self.0.main.close().await;
        self.0.aside.close().await;
    }
}
