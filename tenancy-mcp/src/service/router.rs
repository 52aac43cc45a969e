//! The tool router: what it is made of.

use std::{fmt, sync::Arc};

use tenancy_core::{AuditSink, Authorizer, CredentialSource, TenantDb};

use super::{parts::Parts, registry::McpRegistry};
use crate::{Error, ErrorKind, InvocationStore, McpTransport, RouterLimits};

/// Calls tools of MCP servers for tenants: the right ones, with the right credential, once.
///
/// A clone shares the open sessions.
///
/// ```no_run
/// # async fn run(db: tenancy_core::TenantDb, ctx: tenancy_core::TenantCtx,
/// #     authorizer: std::sync::Arc<dyn tenancy_core::Authorizer>,
/// #     credentials: std::sync::Arc<dyn tenancy_core::CredentialSource>,
/// #     audit: std::sync::Arc<dyn tenancy_core::AuditSink>,
/// #     transport: std::sync::Arc<dyn tenancy_mcp::McpTransport>)
/// # -> Result<(), tenancy_mcp::Error> {
/// use tenancy_mcp::{InvokeOptions, ToolRouter};
///
/// let router = ToolRouter::builder(db, transport)
///     .authorizer(authorizer)
///     .credentials(credentials)
///     .audit(audit)
///     .build()?;
/// let params = serde_json::json!({"campaign_id": 7, "lead_id": 1, "email": "ada@example.com"});
/// let outcome = router
///     .invoke_mcp_tool(&ctx, "smartlead.update_lead", params, InvokeOptions::once("job-42/1"))
///     .await?;
/// println!("{} (replayed: {})", outcome.text, outcome.replayed);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ToolRouter(pub(super) Arc<Parts>);

impl ToolRouter {
    /// Starts a router on this database and transport.
    pub fn builder(db: TenantDb, transport: Arc<dyn McpTransport>) -> ToolRouterBuilder {
        ToolRouterBuilder {
            db,
            transport,
            authorizer: None,
            credentials: None,
            audit: None,
            invocations: None,
            limits: RouterLimits::default(),
        }
    }

    /// The registry of the same parts.
    pub fn registry(&self) -> McpRegistry {
        McpRegistry(self.0.clone())
    }
}

impl fmt::Debug for ToolRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolRouter").finish_non_exhaustive()
    }
}

/// Puts a [`ToolRouter`] together.
pub struct ToolRouterBuilder {
    db: TenantDb,
    transport: Arc<dyn McpTransport>,
    authorizer: Option<Arc<dyn Authorizer>>,
    credentials: Option<Arc<dyn CredentialSource>>,
    audit: Option<Arc<dyn AuditSink>>,
    invocations: Option<Arc<dyn InvocationStore>>,
    limits: RouterLimits,
}

impl ToolRouterBuilder {
    /// Who decides what a principal may do. Needed.
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = Some(authorizer);
        self
    }

    /// Who keeps what opens the connections. Needed.
    pub fn credentials(mut self, credentials: Arc<dyn CredentialSource>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Where it is recorded. Needed; a host that wants no audit log says
    /// [`NoAudit`](tenancy_core::NoAudit).
    pub fn audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Keeps the record of calls elsewhere than in Postgres.
    pub fn invocations(mut self, store: Arc<dyn InvocationStore>) -> Self {
        self.invocations = Some(store);
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: RouterLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Puts the router together. Inside a Tokio runtime it also starts the task that closes
    /// unused sessions.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if a needed part is missing.
    pub fn build(self) -> Result<ToolRouter, Error> {
        let missing = |part: &str| {
            let message = format!("the tool router needs `{part}`");
            Error::new(ErrorKind::Misconfigured, "part_missing", message)
        };
        let mut parts = Parts::new(
            self.db,
            self.transport,
            self.authorizer.ok_or_else(|| missing("authorizer"))?,
            self.credentials.ok_or_else(|| missing("credentials"))?,
            self.audit.ok_or_else(|| missing("audit"))?,
            self.limits,
        );
        if let Some(store) = self.invocations {
            parts.invocations = store;
        }
        let parts = Arc::new(parts);
        parts.sweep_sessions();
        Ok(ToolRouter(parts))
    }
}

impl fmt::Debug for ToolRouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolRouterBuilder").finish_non_exhaustive()
    }
}
