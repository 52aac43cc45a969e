//! A database of its own on a Citus cluster, where one is given.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenancy_core::{OperatorDb, TenantDb, WorkerDb};
use tenancy_devdb::BoxError;
use url::Url;

use crate::Db;

/// How the tests' cluster is made ready for the plan: what `docs/scaling-out.md` tells operators.
const READY: &str = "
    ALTER ROLE tenancy_owner LOGIN;
    ALTER ROLE tenancy_definer LOGIN;
    ALTER ROLE tenancy_app LOGIN;
    ALTER ROLE tenancy_worker LOGIN;";

impl Db {
    /// Spans this database over the nodes of the cluster whose coordinator is named by
    /// `TENANCY_DATABASE_URL`, and connects anew. False, with nothing changed, where there is none.
    ///
    /// The nodes are those of the coordinator's own database, and are reached with its login.
    pub async fn span_cluster(&mut self) -> Result<bool, BoxError> {
        let Ok(main) = std::env::var("TENANCY_DATABASE_URL") else {
            return Ok(false);
        };
        let mut coordinator = PgConnection::connect(&main).await?;
        let there: bool = sqlx::query_scalar("SELECT to_regclass('pg_dist_node') IS NOT NULL")
            .fetch_one(&mut coordinator)
            .await?;
        if !there {
            return Ok(false);
        }
        let nodes: Vec<(String, i32, bool)> = sqlx::query_as(
            "SELECT nodename, nodeport, groupid = 0 FROM pg_dist_node WHERE isactive ORDER BY groupid",
        )
        .fetch_all(&mut coordinator)
        .await?;
        let superuser = self.superuser().await?;
        let name: String = sqlx::query_scalar("SELECT current_database()")
            .fetch_one(&superuser)
            .await?;
        for (host, port, _) in nodes.iter().filter(|(_, _, coordinates)| !coordinates) {
            let mut url = Url::parse(&main)?;
            url.set_host(Some(host))?;
            url.set_port(Some(u16::try_from(*port)?))
                .map_err(|()| "a node without a port")?;
            make_ready(url, &name).await?;
        }
        sqlx::raw_sql("CREATE EXTENSION citus")
            .execute(&superuser)
            .await?;
        sqlx::raw_sql(READY).execute(&superuser).await?;
        for (host, port, coordinates) in nodes {
            let sql = if coordinates {
                "SELECT citus_set_coordinator_host($1, $2)"
            } else {
                "SELECT citus_add_node($1, $2)"
            };
            sqlx::query(sql)
                .bind(host)
                .bind(port)
                .execute(&superuser)
                .await?;
        }
        let hand_on =
            format!("ALTER DATABASE \"{name}\" SET citus.propagate_set_commands = 'local'");
        sqlx::query(AssertSqlSafe(hand_on))
            .execute(&superuser)
            .await?;
        self.app = TenantDb::connect(self.server.app_url()).await?;
        self.worker = WorkerDb::connect(self.server.worker_url()).await?;
        self.operator = OperatorDb::connect(self.server.operator_url()).await?;
        Ok(true)
    }
}

/// Makes the database on a node, whose own database is at `url`.
async fn make_ready(mut url: Url, name: &str) -> Result<(), BoxError> {
    let mut node = PgConnection::connect(url.as_str()).await?;
    for sql in [
        "SET citus.enable_create_database_propagation = off".to_owned(),
        format!("DROP DATABASE IF EXISTS \"{name}\""),
        format!("CREATE DATABASE \"{name}\""),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut node).await?;
    }
    url.set_path(name);
    let mut node = PgConnection::connect(url.as_str()).await?;
    sqlx::raw_sql("CREATE EXTENSION citus")
        .execute(&mut node)
        .await?;
    Ok(())
}
