#![cfg_attr(
    feature = "testing",
    expect(
        clippy::struct_field_names,
        reason = "the mock's fields are named like the methods"
    )
)]

use async_trait::async_trait;
use tenancy_core::TenantTx;

use crate::{
    Connection, ConnectionKey, DefinitionHash, EffectClass, Error, NewConnection, Provider,
    ProviderKey, StatusChange, Tool, ToolDefinition, ToolId, ToolName, ToolNews,
};

/// What a call needs to know of a tool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// The provider, as the operator has it now.
    pub provider: Provider,
    /// The tenant's connection.
    pub connection: Connection,
    /// The tool.
    pub tool: Tool,
}

impl Route {
    /// Puts a route together; for implementors.
    pub fn new(provider: Provider, connection: Connection, tool: Tool) -> Self {
        Self {
            provider,
            connection,
            tool,
        }
    }
}

/// The answer to an approval.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Approved {
    /// It is approved.
    Done,
    /// The server no longer offers it.
    Gone,
    /// What was approved is not what is offered now.
    Stale,
}

/// Keeps a tenant's connections and tools.
///
/// # Contract
/// State changes are compare-and-set, along the arrows of
/// [`ConnectionStatus`](crate::ConnectionStatus); one that does not apply changes nothing and
/// says so. What blocks or opens a tool bumps the tenant's epoch.
///
/// # Concurrency
/// News of an older generation of a connection change nothing.
///
/// # Errors and retry
/// As [`Error::retry`] says; a failed `*_in` leaves its transaction to be rolled back.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Honest about being Postgres-shaped: test it on a real database.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait RegistryStore: Send + Sync + 'static {
    /// All a call needs to know, or `None` if there is no such tool.
    ///
    /// # Errors
    /// [`Suspended`](crate::ErrorKind::Suspended) if the tenant is not active at this moment,
    /// whatever it was when the context was made.
    async fn route_in(&self, tx: &mut TenantTx, name: &ToolName) -> Result<Option<Route>, Error>;

    /// The providers of the host's catalog, by key.
    async fn providers_in(&self, tx: &mut TenantTx) -> Result<Vec<Provider>, Error>;

    /// One provider.
    async fn provider_in(
        &self,
        tx: &mut TenantTx,
        key: &ProviderKey,
    ) -> Result<Option<Provider>, Error>;

    /// Makes a connection, or makes it anew under the same id with the next generation. A tenant
    /// has at most `most`.
    ///
    /// # Errors
    /// [`Limit`](crate::ErrorKind::Limit) for one more;
    /// [`Conflict`](crate::ErrorKind::Conflict) if the name belongs to another provider or is
    /// open already; [`Blocked`](crate::ErrorKind::Blocked) if the provider is closed;
    /// [`Suspended`](crate::ErrorKind::Suspended) if the tenant is not active at this moment.
    async fn connect_in(
        &self,
        tx: &mut TenantTx,
        new: &NewConnection,
        most: u64,
    ) -> Result<Connection, Error>;

    /// Moves a connection along an arrow; `false` if it is not where the arrow starts.
    async fn set_status_in(&self, tx: &mut TenantTx, change: &StatusChange) -> Result<bool, Error>;

    /// The tenant's connections, by key; at most 1,000.
    async fn connections_in(&self, tx: &mut TenantTx) -> Result<Vec<Connection>, Error>;

    /// One connection.
    async fn connection_in(
        &self,
        tx: &mut TenantTx,
        key: &ConnectionKey,
    ) -> Result<Option<Connection>, Error>;

    /// A connection's tools, by name; at most 1,000.
    async fn tools_in(&self, tx: &mut TenantTx, key: &ConnectionKey) -> Result<Vec<Tool>, Error>;

    /// Compares a server's list with what is known: stores what is new, blocks what changed.
    async fn observe_in(
        &self,
        tx: &mut TenantTx,
        connection: &Connection,
        offered: &[ToolDefinition],
    ) -> Result<Vec<ToolNews>, Error>;

    /// Approves what a server offers, if it still is what the approver saw.
    async fn approve_in(
        &self,
        tx: &mut TenantTx,
        tool: ToolId,
        seen: DefinitionHash,
        effect: &EffectClass,
    ) -> Result<Approved, Error>;

    /// Takes an approval back; `false` if there is none.
    async fn revoke_in(&self, tx: &mut TenantTx, tool: ToolId) -> Result<bool, Error>;
}
