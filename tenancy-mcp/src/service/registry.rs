//! Connections of a tenant.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use tenancy_core::{AuthorizerExt as _, Event, Limits, TenantCtx};

use super::parts::{Link, Parts};
use crate::{
    Connection, ConnectionKey, ConnectionStatus, Error, NewConnection, Provider, StatusChange,
    Tool, ToolNews, limit, perm,
};

/// Connects tenants to providers, and keeps which tools of theirs may be called.
///
/// Made by [`ToolRouter::registry`](crate::ToolRouter::registry), with which it shares the open
/// sessions. Everything that changes something is audited in the same transaction.
///
/// ```no_run
/// # async fn run(router: tenancy_mcp::ToolRouter, ctx: tenancy_core::TenantCtx,
/// #     credential: tenancy_core::CredentialId) -> Result<(), tenancy_mcp::Error> {
/// use tenancy_mcp::{EffectClass, NewConnection, ProviderKey, ToolName};
///
/// let registry = router.registry();
/// let new = NewConnection::new(ProviderKey::from_static("smartlead")).with_credential(credential);
/// let connection = registry.connect(&ctx, new).await?;
/// println!("{} {:?}", connection.status.as_str(), connection.status_reason);
///
/// for tool in registry.tools(&ctx, &connection.key).await? {
///     let name = ToolName::new(connection.key.clone(), &tool.definition.name)?;
///     registry.approve(&ctx, &name, tool.offered_hash(), EffectClass::Unsafe).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct McpRegistry(pub(super) Arc<Parts>);

impl McpRegistry {
    /// The providers that are open to tenants, by key.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `mcp.connections.read`.
    pub async fn providers(&self, ctx: &TenantCtx) -> Result<Vec<Provider>, Error> {
        self.may_read(ctx).await?;
        let mut tx = self.0.db.read(ctx).await?;
        let mut providers = self.0.registry.providers_in(&mut tx).await?;
        providers.retain(|provider| provider.allowed);
        Ok(providers)
    }

    /// The tenant's connections, by key; at most 1,000.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `mcp.connections.read`.
    pub async fn connections(&self, ctx: &TenantCtx) -> Result<Vec<Connection>, Error> {
        self.may_read(ctx).await?;
        let mut tx = self.0.db.read(ctx).await?;
        self.0.registry.connections_in(&mut tx).await
    }

    /// One connection.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`Denied`](crate::ErrorKind::Denied) without
    /// `mcp.connections.read`.
    pub async fn connection(
        &self,
        ctx: &TenantCtx,
        key: &ConnectionKey,
    ) -> Result<Connection, Error> {
        self.may_read(ctx).await?;
        self.found(ctx, key).await
    }

    /// A connection's tools, by name; at most 1,000.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `mcp.connections.read`.
    pub async fn tools(&self, ctx: &TenantCtx, key: &ConnectionKey) -> Result<Vec<Tool>, Error> {
        self.may_read(ctx).await?;
        let mut tx = self.0.db.read(ctx).await?;
        self.0.registry.tools_in(&mut tx, key).await
    }

    /// Makes a connection and tries it: reads the server's tools, which then wait for approval.
    ///
    /// The connection is kept even when the server can't be reached: its status says why. A
    /// connection that was taken away, or whose credential went bad, is made anew under the same
    /// id, so that approvals and idempotency keys go on.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `mcp.connections.manage`;
    /// [`Conflict`](crate::ErrorKind::Conflict) if the name is taken or open;
    /// [`Blocked`](crate::ErrorKind::Blocked) if there is no such provider for tenants;
    /// [`Limit`](crate::ErrorKind::Limit) at [`limit::CONNECTIONS`].
    pub async fn connect(&self, ctx: &TenantCtx, new: NewConnection) -> Result<Connection, Error> {
        let mut tx = self.0.db.write(ctx).await?;
        self.0
            .authorizer
            .require_in(&mut tx, perm::ConnectionsManage::get())
            .await?;
        let limits = Limits::new(self.0.db.clone());
        let most = limits.get_in(&mut tx, &limit::CONNECTIONS).await?;
        let made = self.0.registry.connect_in(&mut tx, &new, most).await?;
        let event = Event::new("mcp.connection.connected")
            .target("mcp_connection", made.id)
            .meta("provider", made.provider.as_str())
            .meta("connection", made.key.as_str())
            .meta("generation", made.generation);
        self.0.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        self.0.sessions.forget(ctx.tenant(), made.id);
        if let Err(error) = self.look(ctx, &made).await {
            tracing::debug!(%error, connection = %made.key, "a new connection was not reached");
        }
        self.found(ctx, &new.key).await
    }

    /// Reads the server's tools anew: new ones wait for approval, changed ones are blocked.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `mcp.connections.manage`;
    /// [`Upstream`](crate::ErrorKind::Upstream) or
    /// [`NeedsReauth`](crate::ErrorKind::NeedsReauth), which the connection's status then shows.
    pub async fn discover(
        &self,
        ctx: &TenantCtx,
        key: &ConnectionKey,
    ) -> Result<Vec<ToolNews>, Error> {
        self.0
            .authorizer
            .require(ctx, perm::ConnectionsManage::get())
            .await?;
        let connection = self.found(ctx, key).await?;
        self.look(ctx, &connection).await
    }

    /// Takes a connection away: its calls are refused from now on. The credential is not touched.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `mcp.connections.manage`;
    /// [`Conflict`](crate::ErrorKind::Conflict) if it was taken away or made anew meanwhile.
    pub async fn disconnect(
        &self,
        ctx: &TenantCtx,
        key: &ConnectionKey,
        reason: &str,
    ) -> Result<(), Error> {
        self.0
            .authorizer
            .require(ctx, perm::ConnectionsManage::get())
            .await?;
        let connection = self.found(ctx, key).await?;
        let reason = match reason.trim() {
            "" => "no reason was given",
            reason => reason,
        };
        let change =
            StatusChange::new(&connection, ConnectionStatus::Disconnected).with_reason(reason);
        let moved = self.0.set_status(ctx, &change).await?;
        self.0.sessions.forget(ctx.tenant(), connection.id);
        if moved {
            return Ok(());
        }
        let message = format!("the connection `{key}` is not open");
        Err(Error::new(
            crate::ErrorKind::Conflict,
            "connection_not_open",
            message,
        ))
    }

    async fn look(&self, ctx: &TenantCtx, connection: &Connection) -> Result<Vec<ToolNews>, Error> {
        let mut tx = self.0.db.read(ctx).await?;
        let provider = self
            .0
            .registry
            .provider_in(&mut tx, &connection.provider)
            .await?
            .ok_or_else(|| Error::not_found("provider"))?;
        drop(tx);
        Parts::check_open(&provider, connection)?;
        let link = Link {
            ctx,
            provider: &provider,
            connection,
            noted: &AtomicBool::new(false),
        };
        let opened = self.0.open(link, true).await?;
        let news = self
            .0
            .observe(link, &opened.live.offered.definitions)
            .await?;
        self.0.connected(link, &opened.live).await;
        Ok(news)
    }

    pub(super) async fn found(
        &self,
        ctx: &TenantCtx,
        key: &ConnectionKey,
    ) -> Result<Connection, Error> {
        let mut tx = self.0.db.read(ctx).await?;
        let found = self.0.registry.connection_in(&mut tx, key).await?;
        found.ok_or_else(|| Error::not_found("connection"))
    }

    async fn may_read(&self, ctx: &TenantCtx) -> Result<(), Error> {
        self.0
            .authorizer
            .require(ctx, perm::ConnectionsRead::get())
            .await?;
        Ok(())
    }
}

impl fmt::Debug for McpRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpRegistry").finish_non_exhaustive()
    }
}
