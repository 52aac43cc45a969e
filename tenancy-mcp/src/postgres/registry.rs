//! Connections and tools on Postgres.

use async_trait::async_trait;
use serde_json::Value;
use tenancy_core::TenantTx;

use super::rows::{ConnectionRow, ProviderRow, RouteRow, ToolRow, unreadable};
use crate::{
    Approved, Connection, ConnectionId, ConnectionKey, DefinitionHash, EffectClass, Error,
    ErrorKind, NewConnection, Provider, ProviderKey, RegistryStore, Route, StatusChange, Tool,
    ToolChange, ToolDefinition, ToolId, ToolName, ToolNews,
};

/// Keeps connections and tools in Postgres.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PgRegistry;

impl PgRegistry {
    /// A store in whatever database a transaction belongs to.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl RegistryStore for PgRegistry {
    async fn route_in(&self, tx: &mut TenantTx, name: &ToolName) -> Result<Option<Route>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<RouteRow> = sqlx::query_as(include_str!("sql/route.sql"))
            .bind(tenant)
            .bind(name.connection().as_str())
            .bind(name.tool())
            .fetch_optional(&mut **tx)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        if row.tenant_status != "active" {
            return Err(Error::suspended());
        }
        Ok(Some(Route::new(
            row.provider.try_into()?,
            row.connection.try_into()?,
            row.tool.try_into()?,
        )))
    }

    async fn providers_in(&self, tx: &mut TenantTx) -> Result<Vec<Provider>, Error> {
        let rows: Vec<ProviderRow> = sqlx::query_as(include_str!("sql/providers.sql"))
            .fetch_all(&mut **tx)
            .await?;
        rows.into_iter().map(Provider::try_from).collect()
    }

    async fn provider_in(
        &self,
        tx: &mut TenantTx,
        key: &ProviderKey,
    ) -> Result<Option<Provider>, Error> {
        let row: Option<ProviderRow> = sqlx::query_as(include_str!("sql/provider.sql"))
            .bind(key.as_str())
            .fetch_optional(&mut **tx)
            .await?;
        row.map(Provider::try_from).transpose()
    }

    async fn connect_in(
        &self,
        tx: &mut TenantTx,
        new: &NewConnection,
        most: u64,
    ) -> Result<Connection, Error> {
        let said: String = sqlx::query_scalar(include_str!("sql/connect.sql"))
            .bind(ConnectionId::new())
            .bind(new.key.as_str())
            .bind(new.provider.as_str())
            .bind(new.credential)
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .fetch_one(&mut **tx)
            .await?;
        refused(&said, new)?;
        let made = self.connection_in(tx, &new.key).await?;
        made.ok_or_else(|| unreadable("mcp_connections"))
    }

    async fn set_status_in(&self, tx: &mut TenantTx, change: &StatusChange) -> Result<bool, Error> {
        Ok(
            sqlx::query_scalar(include_str!("sql/set_connection_status.sql"))
                .bind(change.connection)
                .bind(change.generation)
                .bind(change.to.as_str())
                .bind(&change.reason)
                .bind(&change.protocol)
                .fetch_one(&mut **tx)
                .await?,
        )
    }

    async fn connections_in(&self, tx: &mut TenantTx) -> Result<Vec<Connection>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<ConnectionRow> = sqlx::query_as(include_str!("sql/connections.sql"))
            .bind(tenant)
            .fetch_all(&mut **tx)
            .await?;
        rows.into_iter().map(Connection::try_from).collect()
    }

    async fn connection_in(
        &self,
        tx: &mut TenantTx,
        key: &ConnectionKey,
    ) -> Result<Option<Connection>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<ConnectionRow> = sqlx::query_as(include_str!("sql/connection.sql"))
            .bind(tenant)
            .bind(key.as_str())
            .fetch_optional(&mut **tx)
            .await?;
        row.map(Connection::try_from).transpose()
    }

    async fn tools_in(&self, tx: &mut TenantTx, key: &ConnectionKey) -> Result<Vec<Tool>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<ToolRow> = sqlx::query_as(include_str!("sql/tools.sql"))
            .bind(tenant)
            .bind(key.as_str())
            .fetch_all(&mut **tx)
            .await?;
        rows.into_iter().map(Tool::try_from).collect()
    }

    async fn observe_in(
        &self,
        tx: &mut TenantTx,
        connection: &Connection,
        offered: &[ToolDefinition],
    ) -> Result<Vec<ToolNews>, Error> {
        let lists = Lists::of(offered)?;
        let rows: Vec<(String, String)> = sqlx::query_as(include_str!("sql/observe_tools.sql"))
            .bind(connection.id)
            .bind(connection.generation)
            .bind(&lists.ids)
            .bind(&lists.names)
            .bind(&lists.definitions)
            .bind(&lists.hashes)
            .fetch_all(&mut **tx)
            .await?;
        let news = |(name, change): (String, String)| {
            let change = ToolChange::parse(&change).ok_or_else(|| unreadable("mcp_tools"))?;
            Ok(ToolNews::new(name, change))
        };
        rows.into_iter().map(news).collect()
    }

    async fn approve_in(
        &self,
        tx: &mut TenantTx,
        tool: ToolId,
        seen: DefinitionHash,
        effect: &EffectClass,
    ) -> Result<Approved, Error> {
        let (place, name) = effect.place();
        let said: String = sqlx::query_scalar(include_str!("sql/approve_tool.sql"))
            .bind(tool)
            .bind(seen.as_bytes().as_slice())
            .bind(effect.as_str())
            .bind(place)
            .bind(name)
            .fetch_one(&mut **tx)
            .await?;
        Ok(match said.as_str() {
            "ok" => Approved::Done,
            "stale" => Approved::Stale,
            _ => Approved::Gone,
        })
    }

    async fn revoke_in(&self, tx: &mut TenantTx, tool: ToolId) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/revoke_tool.sql"))
            .bind(tool)
            .fetch_one(&mut **tx)
            .await?)
    }
}

fn refused(said: &str, new: &NewConnection) -> Result<(), Error> {
    let NewConnection { key, provider, .. } = new;
    Err(match said {
        "ok" => return Ok(()),
        "suspended" => Error::suspended(),
        "provider_closed" => Error::new(
            ErrorKind::Blocked,
            "provider_closed",
            format!("there is no provider `{provider}`, or it is not open to tenants"),
        ),
        "limit" => Error::new(
            ErrorKind::Limit,
            "connections_limit",
            "the tenant has as many connections as it may: connect one of them anew, or have more allowed",
        ),
        "other_provider" => Error::new(
            ErrorKind::Conflict,
            "connection_key_taken",
            format!("the connection `{key}` belongs to another provider: choose another name"),
        ),
        "open" => Error::new(
            ErrorKind::Conflict,
            "connection_open",
            format!("the connection `{key}` is open already: disconnect it first"),
        ),
        _ => Error::internal(
            "unexpected_answer",
            "connecting was answered in an unknown way",
        ),
    })
}

/// A server's list as the arrays that the function takes side by side.
#[derive(Default)]
struct Lists {
    ids: Vec<ToolId>,
    names: Vec<String>,
    definitions: Vec<Value>,
    hashes: Vec<Vec<u8>>,
}

impl Lists {
    fn of(offered: &[ToolDefinition]) -> Result<Self, Error> {
        let mut lists = Self::default();
        for tool in offered {
            let definition = serde_json::to_value(tool)
                .map_err(|_| Error::internal("definition_unwritable", "a definition is no JSON"))?;
            lists.ids.push(ToolId::new());
            lists.names.push(tool.name.clone());
            lists.definitions.push(definition);
            lists.hashes.push(tool.hash().as_bytes().to_vec());
        }
        Ok(lists)
    }
}
