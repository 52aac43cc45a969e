//! A fresh, migrated database with the family's handles, and a proxy in front of one, for the
//! tests of this workspace.

mod citus;
mod cluster;
mod pooler;
mod proxy;
mod receiver;
mod soak;
mod user;

pub use cluster::Cluster;
pub use pooler::Pgbouncer;
pub use proxy::{Cut, Proxy};
pub use receiver::{Received, Receiver, Reply};
pub use soak::{Findings, Soak, Subject};

mod oidc;
mod standard_webhooks;

use sqlx::{AssertSqlSafe, PgPool};
use tenancy_core::{
    Error, OperatorDb, TenantCtx, TenantDb, WorkerDb,
    migrate::{self, Component},
};
use tenancy_devdb::{BoxError, Database, TestDb};

pub use oidc::OidcPeer;
pub use standard_webhooks::StandardWebhooks;

/// A database of one test: migrated, with a handle of each kind. Dropped with this value.
#[derive(Debug)]
#[non_exhaustive]
pub struct Db {
    /// As a host's service: the login that row-level security binds.
    pub app: TenantDb,
    /// As background work.
    pub worker: WorkerDb,
    /// As the operator: not a superuser.
    pub operator: OperatorDb,
    /// The database itself, with its URLs.
    pub server: TestDb,
}

impl Db {
    /// A database with these components.
    pub async fn new(components: &'static [&'static Component]) -> Result<Self, BoxError> {
        let key = migrate::fingerprint(components);
        let build = move |template: Database| async move {
            let operator = OperatorDb::connect(template.operator_url()).await?;
            migrate::migrate(&operator, components).await?;
            operator.pool().close().await;
            Ok::<(), BoxError>(())
        };
        let server = TestDb::from_template(&key, build).await?;
        // At once: the first backends of a new database take longest to start.
        let (app, worker, operator) = tokio::try_join!(
            TenantDb::connect(server.app_url()),
            WorkerDb::connect(server.worker_url()),
            OperatorDb::connect(server.operator_url()),
        )?;
        Ok(Self {
            app,
            worker,
            operator,
            server,
        })
    }

    /// Connections of the superuser, for a test that plants a fault or looks behind the policies.
    pub async fn superuser(&self) -> Result<PgPool, BoxError> {
        Ok(PgPool::connect(self.server.superuser_url()?).await?)
    }
}

/// The family's tables, but for what is counted and noted beside a change.
const TABLES: &str = "SELECT relname::text FROM pg_class
    WHERE relnamespace = 'tenancy'::regnamespace AND relkind = 'r' AND relname NOT IN ('tenant_epoch', 'platform_log')
    ORDER BY 1";

/// Every row that the family has, of all tenants, as text: to see that nothing was changed.
pub async fn rows(superuser: &PgPool) -> Result<Vec<String>, BoxError> {
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(superuser).await?;
    let mut rows = Vec::new();
    for table in tables {
        let all = AssertSqlSafe(format!(
            "SELECT '{table}' || t::text FROM tenancy.{table} t ORDER BY 1"
        ));
        let of_table = sqlx::query_scalar::<_, String>(all);
        rows.extend(of_table.fetch_all(superuser).await?);
    }
    Ok(rows)
}

/// The error that opening ends with when each unit of work stays open: what a connection of its own
/// would meet.
pub async fn open_until_refused(db: &TenantDb, ctx: &TenantCtx) -> Error {
    let mut held = Vec::new();
    loop {
        match db.read(ctx).await {
            Ok(tx) => held.push(tx),
            Err(error) => return error,
        }
    }
}

/// Makes tables `public.t1`, `public.t2`, … as a host has them, each confined to its tenant: for
/// measuring what grows with the number of tables.
pub async fn protected_tables(operator: &OperatorDb, count: u32) -> Result<(), BoxError> {
    let make = "DO $$ BEGIN FOR i IN 1..current_setting('tenancy_testkit.tables')::int LOOP
            EXECUTE format('CREATE TABLE public.t%s (tenant_id uuid NOT NULL, id uuid NOT NULL, name text NOT NULL,
                n int NOT NULL CHECK (n > 3), PRIMARY KEY (tenant_id, id))', i);
            PERFORM tenancy.protect_table(format('public.t%s', i)::regclass);
        END LOOP; END $$";
    let mut tx = operator.pool().begin().await?;
    sqlx::query("SELECT set_config('tenancy_testkit.tables', $1, true)")
        .bind(count.to_string())
        .fetch_one(&mut *tx)
        .await?;
    sqlx::raw_sql(make).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
