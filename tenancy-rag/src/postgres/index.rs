//! Vector indexes: made, listed and removed by the operator.

use std::time::Duration;

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use tenancy_core::{OperatorDb, TenantId};

use super::index_ddl;
use crate::{Error, ErrorKind};

/// How an index is built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IndexOptions {
    /// Memory for the graph, in megabytes; the server's setting, if `None`. A graph that does not
    /// fit takes many times as long: 17,000 chunks need about 130.
    pub memory_mb: Option<u32>,
    /// How long a build may wait for locks; a minute by default.
    pub lock_timeout: Duration,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self {
            memory_mb: None,
            lock_timeout: Duration::from_mins(1),
        }
    }
}

impl IndexOptions {
    /// Sets the memory for the graph.
    pub fn with_memory_mb(mut self, megabytes: u32) -> Self {
        self.memory_mb = Some(megabytes.clamp(1, 1 << 20));
        self
    }
}

/// Whose chunks an index covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IndexScope {
    /// One tenant's.
    Tenant(TenantId),
    /// All tenants'.
    Global,
}

/// The state of a vector index.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IndexHealth {
    /// Its name in the schema `tenancy`.
    pub name: String,
    /// Whose chunks it covers.
    pub scope: IndexScope,
    /// Whether searches may use it. A build that was cut off leaves one that is not valid.
    pub valid: bool,
    /// Whether writes keep it up.
    pub ready: bool,
    /// Its size in bytes.
    pub bytes: i64,
    /// How often it was used since the statistics began.
    pub scans: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct HealthRow {
    name: String,
    valid: bool,
    ready: bool,
    bytes: i64,
    scans: i64,
}

/// Every vector index of the chunks. A tenant below the size for one has none, and needs none.
pub async fn index_health(operator: &OperatorDb) -> Result<Vec<IndexHealth>, Error> {
    let rows: Vec<HealthRow> = sqlx::query_as(include_str!("sql/index_health.sql"))
        .fetch_all(operator.pool())
        .await?;
    let health = |row: HealthRow| IndexHealth {
        scope: index_ddl::tenant_of(&row.name).map_or(IndexScope::Global, IndexScope::Tenant),
        name: row.name,
        valid: row.valid,
        ready: row.ready,
        bytes: row.bytes,
        scans: row.scans,
    };
    Ok(rows.into_iter().map(health).collect())
}

/// The tenants of at least `min_chunks` chunks that have no valid index yet, largest first, with
/// their number of chunks.
pub async fn index_candidates(
    operator: &OperatorDb,
    min_chunks: i64,
) -> Result<Vec<(TenantId, i64)>, Error> {
    let mut large: Vec<(TenantId, i64)> = sqlx::query_as(include_str!("sql/large_tenants.sql"))
        .bind(min_chunks)
        .fetch_all(operator.pool())
        .await?;
    let health = index_health(operator).await?;
    large.retain(|(tenant, _)| {
        !health
            .iter()
            .any(|index| index.valid && index.scope == IndexScope::Tenant(*tenant))
    });
    Ok(large)
}

/// Builds a tenant's HNSW without blocking reads or writes; does nothing if a valid one is there.
///
/// A remainder of a build that was cut off is removed first. Two builds for one tenant at once:
/// one of them fails with [`Conflict`](ErrorKind::Conflict). The connection is closed afterwards,
/// whatever happens, so that none of its settings stays behind.
pub async fn build_tenant_index(
    operator: &OperatorDb,
    tenant: TenantId,
    options: &IndexOptions,
) -> Result<IndexHealth, Error> {
    if let Some(there) = health_of(operator, tenant)
        .await?
        .filter(|index| index.valid)
    {
        return Ok(there);
    }
    let mut conn = owner(operator, options).await?;
    sqlx::raw_sql(index_ddl::drop(tenant))
        .execute(&mut conn)
        .await?;
    sqlx::raw_sql(index_ddl::create(tenant))
        .execute(&mut conn)
        .await
        .map_err(taken)?;
    conn.close().await?;
    health_of(operator, tenant)
        .await?
        .filter(|index| index.valid)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                "index_invalid",
                "the index was built and is not valid",
            )
        })
}

/// Removes a tenant's HNSW without blocking reads or writes, if there is one.
pub async fn drop_tenant_index(operator: &OperatorDb, tenant: TenantId) -> Result<(), Error> {
    let mut conn = owner(operator, &IndexOptions::default()).await?;
    sqlx::raw_sql(index_ddl::drop(tenant))
        .execute(&mut conn)
        .await?;
    Ok(conn.close().await?)
}

async fn health_of(operator: &OperatorDb, tenant: TenantId) -> Result<Option<IndexHealth>, Error> {
    let all = index_health(operator).await?;
    Ok(all
        .into_iter()
        .find(|index| index.scope == IndexScope::Tenant(tenant)))
}

/// A connection of its own as the tables' owner. `CONCURRENTLY` allows no transaction, so role and
/// settings belong to the session; it never returns to the pool.
async fn owner(operator: &OperatorDb, options: &IndexOptions) -> Result<PgConnection, Error> {
    let mut conn = operator.pool().acquire().await?.detach();
    sqlx::raw_sql("SET ROLE tenancy_owner")
        .execute(&mut conn)
        .await?;
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(options.lock_timeout.as_millis().to_string())
        .execute(&mut conn)
        .await?;
    if let Some(megabytes) = options.memory_mb {
        sqlx::raw_sql(index_ddl::memory(megabytes))
            .execute(&mut conn)
            .await?;
    }
    Ok(conn)
}

fn taken(error: sqlx::Error) -> Error {
    let sqlstate = error
        .as_database_error()
        .and_then(|db| db.code().map(std::borrow::Cow::into_owned));
    match sqlstate.as_deref() {
        Some("42P07" | "23505") => Error::new(
            ErrorKind::Conflict,
            "index_building",
            "the index is being built already",
        ),
        _ => error.into(),
    }
}
