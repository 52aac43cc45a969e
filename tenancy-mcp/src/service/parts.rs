//! What the services share, and how they reach a server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tenancy_core::{
    AuditSink, Authorizer, Credential, CredentialSource, ErrorKind as CoreKind, Event, TenantCtx,
    TenantDb,
};

use super::{
    budget::Budgets,
    sessions::{Live, SessionKey, Sessions},
    validators::Validators,
};
use crate::{
    AuthKind, CallFault, ConnectTarget, Connection, ConnectionStatus, Error, ErrorKind, FaultKind,
    InvocationStore, McpTransport, PgInvocations, PgRegistry, Provider, RegistryStore, Route,
    RouterLimits, StatusChange, ToolDefinition, ToolName, ToolNews,
};

/// What the router and the registry are made of.
pub(crate) struct Parts {
    pub(crate) db: TenantDb,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) credentials: Arc<dyn CredentialSource>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) registry: Arc<dyn RegistryStore>,
    pub(crate) invocations: Arc<dyn InvocationStore>,
    pub(crate) limits: RouterLimits,
    pub(crate) sessions: Sessions,
    pub(crate) validators: Validators,
    pub(crate) budgets: Budgets,
}

/// Who wants to reach which connection.
#[derive(Clone, Copy)]
pub(crate) struct Link<'a> {
    pub(crate) ctx: &'a TenantCtx,
    pub(crate) provider: &'a Provider,
    pub(crate) connection: &'a Connection,
    /// Whether the connection's status was written since it was read.
    pub(crate) noted: &'a AtomicBool,
}

/// An open session, and what it was opened with.
pub(crate) struct Opened {
    pub(crate) live: Live,
    pub(crate) key: SessionKey,
    /// The credential's generation.
    pub(crate) generation: Option<i64>,
}

/// Why there is no session.
pub(crate) enum NoSession {
    /// The server could not be reached; it may be tried again.
    Fault(CallFault),
    /// Something else, for good.
    Error(Error),
}

impl From<Error> for NoSession {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<NoSession> for Error {
    fn from(reason: NoSession) -> Self {
        match reason {
            NoSession::Fault(fault) => Self::upstream(&fault),
            NoSession::Error(error) => error,
        }
    }
}

impl Parts {
    pub(crate) fn new(
        db: TenantDb,
        transport: Arc<dyn McpTransport>,
        authorizer: Arc<dyn Authorizer>,
        credentials: Arc<dyn CredentialSource>,
        audit: Arc<dyn AuditSink>,
        limits: RouterLimits,
    ) -> Self {
        Self {
            registry: Arc::new(PgRegistry::new()),
            invocations: Arc::new(PgInvocations::new(db.clone(), audit.clone())),
            sessions: Sessions::new(transport, &limits),
            validators: Validators::default(),
            budgets: Budgets::new(limits.retry_burst),
            db,
            authorizer,
            credentials,
            audit,
            limits,
        }
    }

    /// Closes unused sessions from time to time, for as long as the services live.
    pub(crate) fn sweep_sessions(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let every = (self.sessions.idle() / 2).max(Duration::from_secs(1));
        let parts = Arc::downgrade(self);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(parts) = parts.upgrade() else {
                    return;
                };
                parts.sessions.sweep();
            }
        });
    }

    /// A session with the credential as it is now. A credential that is refused is renewed once.
    pub(crate) async fn open(&self, link: Link<'_>, relist: bool) -> Result<Opened, NoSession> {
        let credential = self.credential(link).await?;
        let generation = credential.as_ref().map(|credential| credential.generation);
        match self.open_with(link, credential, relist).await {
            Err(fault) if fault.kind == FaultKind::Unauthorized => {
                let renewed = self.renew(link, generation).await?;
                match self.open_with(link, Some(renewed), relist).await {
                    Err(fault) if fault.kind == FaultKind::Unauthorized => {
                        Err(self.refused(link, REFUSED).await.into())
                    }
                    other => self.reached(link, other).await,
                }
            }
            other => self.reached(link, other).await,
        }
    }

    async fn open_with(
        &self,
        link: Link<'_>,
        credential: Option<Credential>,
        relist: bool,
    ) -> Result<Opened, CallFault> {
        let generation = credential.as_ref().map(|credential| credential.generation);
        let key = SessionKey::new(link.ctx, link.provider, link.connection, generation);
        let target = ConnectTarget::new(link.provider.clone(), link.connection.key.clone())
            .with_credential(credential)
            .with_timeout(self.limits.connect_timeout);
        let live = self.sessions.open(link.ctx, &key, target, relist).await?;
        Ok(Opened {
            live,
            key,
            generation,
        })
    }

    async fn reached(
        &self,
        link: Link<'_>,
        opened: Result<Opened, CallFault>,
    ) -> Result<Opened, NoSession> {
        match opened {
            Ok(opened) => Ok(opened),
            Err(fault) => {
                self.degraded(link, &fault).await;
                Err(NoSession::Fault(fault))
            }
        }
    }

    async fn credential(&self, link: Link<'_>) -> Result<Option<Credential>, Error> {
        let id = match (&link.provider.auth, link.connection.credential) {
            (AuthKind::None, _) => return Ok(None),
            (_, None) => return Err(self.refused(link, "the connection has no credential").await),
            (_, Some(id)) => id,
        };
        match self.credentials.credential(link.ctx, id).await {
            Ok(credential) => Ok(Some(credential)),
            Err(error) => Err(self.no_credential(link, error).await),
        }
    }

    /// A newer credential than the one that was refused. Without one, somebody has to connect
    /// again.
    pub(crate) async fn renew(
        &self,
        link: Link<'_>,
        refused: Option<i64>,
    ) -> Result<Credential, Error> {
        let (Some(id), Some(refused)) = (link.connection.credential, refused) else {
            return Err(self.refused(link, "the server asks for a credential").await);
        };
        match self.credentials.renewed(link.ctx, id, refused).await {
            Ok(newer) if newer.generation != refused => Ok(newer),
            Ok(_) => Err(self.refused(link, REFUSED).await),
            Err(error) => Err(self.no_credential(link, error).await),
        }
    }

    async fn no_credential(&self, link: Link<'_>, error: tenancy_core::Error) -> Error {
        match error.kind() {
            CoreKind::Conflict | CoreKind::NotFound => self.refused(link, &error.to_string()).await,
            _ => error.into(),
        }
    }

    /// Keeps that a credential is of no use any more, and says so.
    async fn refused(&self, link: Link<'_>, reason: &str) -> Error {
        let change = StatusChange::new(link.connection, ConnectionStatus::NeedsReauth);
        self.note(link, change.with_reason(reason)).await;
        Error::needs_reauth(&link.connection.key, reason)
    }

    /// Keeps that the server could not be reached, or broke off.
    pub(crate) async fn degraded(&self, link: Link<'_>, fault: &CallFault) {
        let change = StatusChange::new(link.connection, ConnectionStatus::Degraded);
        self.note(link, change.with_reason(&fault.message)).await;
    }

    /// Keeps that the connection works.
    pub(crate) async fn connected(&self, link: Link<'_>, live: &Live) {
        let change = StatusChange::new(link.connection, ConnectionStatus::Connected);
        self.note(link, change.with_protocol(live.session.protocol()))
            .await;
    }

    /// Keeps a connection's new status. That it can't be kept is no reason to fail a call.
    async fn note(&self, link: Link<'_>, change: StatusChange) {
        if link.connection.status == change.to && !link.noted.load(Ordering::Relaxed) {
            return;
        }
        link.noted.store(true, Ordering::Relaxed);
        if let Err(error) = self.set_status(link.ctx, &change).await {
            tracing::warn!(%error, tenant = %link.ctx.tenant(), "a connection's status was not kept");
        }
    }

    /// Moves a connection along an arrow, with its audit entry; `false` if it stands elsewhere.
    pub(crate) async fn set_status(
        &self,
        ctx: &TenantCtx,
        change: &StatusChange,
    ) -> Result<bool, Error> {
        let mut tx = self.db.write(ctx).await?;
        let moved = self.registry.set_status_in(&mut tx, change).await?;
        if moved {
            let event = Event::new("mcp.connection.status_changed")
                .target("mcp_connection", change.connection)
                .meta("status", change.to.as_str())
                .meta("reason", change.reason.clone());
            self.audit.record_in(&mut tx, event).await?;
            tx.commit().await?;
        }
        Ok(moved)
    }

    /// Compares a server's list with the registry, with an audit entry for each difference.
    pub(crate) async fn observe(
        &self,
        link: Link<'_>,
        offered: &[ToolDefinition],
    ) -> Result<Vec<ToolNews>, Error> {
        let mut tx = self.db.write(link.ctx).await?;
        let news = self
            .registry
            .observe_in(&mut tx, link.connection, offered)
            .await?;
        for one in &news {
            let event = Event::new(format!("mcp.tool.{}", one.change.as_str()))
                .target("mcp_connection", link.connection.id)
                .meta("tool", format!("{}.{}", link.connection.key, one.name));
            self.audit.record_in(&mut tx, event).await?;
        }
        if !news.is_empty() {
            tx.commit().await?;
        }
        Ok(news)
    }

    /// What is known of a tool.
    pub(crate) async fn route(
        &self,
        ctx: &TenantCtx,
        name: &ToolName,
    ) -> Result<Option<Route>, Error> {
        let mut tx = self.db.read(ctx).await?;
        self.registry.route_in(&mut tx, name).await
    }

    /// Refuses what a closed connection or provider can't do.
    pub(crate) fn check_open(provider: &Provider, connection: &Connection) -> Result<(), Error> {
        let key = &connection.key;
        if !provider.allowed {
            let message = format!("the provider `{}` is not open to tenants", provider.key);
            return Err(Error::new(ErrorKind::Blocked, "provider_closed", message));
        }
        let reason = connection
            .status_reason
            .as_deref()
            .unwrap_or("no reason is known");
        match connection.status {
            ConnectionStatus::NeedsReauth => Err(Error::needs_reauth(key, reason)),
            ConnectionStatus::Disconnected => {
                let message = format!("the connection `{key}` was taken away: {reason}");
                Err(Error::new(ErrorKind::NotConnected, "disconnected", message))
            }
            _ => Ok(()),
        }
    }
}

const REFUSED: &str = "the server does not take the credential";
