//! Sessions kept open, each for one tenant, connection and credential.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tenancy_core::{CredentialId, TenantCtx, TenantId};
use tokio::time::{Instant, timeout};

use crate::{
    AuthKind, CallFault, ConnectTarget, Connection, ConnectionId, DefinitionHash, Endpoint,
    FaultKind, McpSession, McpTransport, Provider, RouterLimits, Sent, ToolDefinition,
    model::{has_nul, is_tool_name},
};

/// What must be the same for a session to be used again.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) struct SessionKey {
    tenant: TenantId,
    connection: ConnectionId,
    generation: i64,
    credential: Option<(CredentialId, i64)>,
    endpoint: Endpoint,
    auth: AuthKind,
}

impl SessionKey {
    pub(crate) fn new(
        ctx: &TenantCtx,
        provider: &Provider,
        connection: &Connection,
        credential_generation: Option<i64>,
    ) -> Self {
        Self {
            tenant: ctx.tenant(),
            connection: connection.id,
            generation: connection.generation,
            credential: connection.credential.zip(credential_generation),
            endpoint: provider.endpoint.clone(),
            auth: provider.auth.clone(),
        }
    }
}

/// An open session with the tools it was seen to offer.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) session: Arc<dyn McpSession>,
    pub(crate) offered: Arc<Offered>,
    listed_at: Instant,
    list_version: u64,
}

/// A server's list of tools.
pub(crate) struct Offered {
    pub(crate) definitions: Vec<ToolDefinition>,
    pub(crate) hashes: HashMap<String, DefinitionHash>,
}

impl Live {
    fn is_fresh(&self, ttl: Duration) -> bool {
        self.listed_at.elapsed() < ttl && self.list_version == self.session.tool_list_version()
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Live>>>;

/// The sessions, bounded in number and in idle time.
pub(crate) struct Sessions {
    transport: Arc<dyn McpTransport>,
    max: usize,
    idle: Duration,
    list_ttl: Duration,
    connect_timeout: Duration,
    slots: Mutex<HashMap<SessionKey, (Slot, Instant)>>,
}

impl Sessions {
    pub(crate) fn new(transport: Arc<dyn McpTransport>, limits: &RouterLimits) -> Self {
        Self {
            transport,
            max: limits.max_sessions.max(1),
            idle: limits.session_idle,
            list_ttl: limits.tool_list_ttl,
            connect_timeout: limits.connect_timeout,
            slots: Mutex::default(),
        }
    }

    /// The session of a key: the open one, or a new one. Callers that ask for one key at once
    /// wait for the first one's connecting. With `relist` the list of tools is read anew.
    ///
    /// No fault of this is about a call, so each is [`Sent::No`].
    pub(crate) async fn open(
        &self,
        ctx: &TenantCtx,
        key: &SessionKey,
        target: ConnectTarget,
        relist: bool,
    ) -> Result<Live, CallFault> {
        let slot = self.slot(key);
        let mut held = slot.lock().await;
        if let Some(live) = held.take().filter(|live| live.session.is_open()) {
            if live.is_fresh(self.list_ttl) && !relist {
                return Ok(held.insert(live).clone());
            }
            match self.list(live.session).await {
                Ok(live) => return Ok(held.insert(live).clone()),
                Err(fault) if fault.kind == FaultKind::Unauthorized => return Err(fault),
                Err(fault) => tracing::debug!(%fault, "a session is opened anew"),
            }
        }
        let connecting = self.transport.connect(ctx, target);
        let session = self.in_time(connecting).await?;
        Ok(held.insert(self.list(session).await?).clone())
    }

    /// Forgets a session, so that the next call opens a new one. Calls that are being made on it
    /// go on.
    pub(crate) async fn discard(&self, key: &SessionKey, session: &Arc<dyn McpSession>) {
        let slot = self.slots().get(key).map(|(slot, _)| slot.clone());
        if let Some(slot) = slot {
            let mut held = slot.lock().await;
            if held
                .as_ref()
                .is_some_and(|live| Arc::ptr_eq(&live.session, session))
            {
                held.take();
            }
        }
    }

    /// Forgets all sessions of a connection.
    pub(crate) fn forget(&self, tenant: TenantId, connection: ConnectionId) {
        self.slots()
            .retain(|key, _| (key.tenant, key.connection) != (tenant, connection));
    }

    /// Forgets sessions that nobody used for a while.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.slots().retain(|_, (slot, used)| {
            let in_use = slot.try_lock().is_err();
            in_use || now.duration_since(*used) < self.idle
        });
    }

    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    async fn list(&self, session: Arc<dyn McpSession>) -> Result<Live, CallFault> {
        let (listed_at, list_version) = (Instant::now(), session.tool_list_version());
        let tools = self.in_time(session.list_tools()).await?;
        let offered = Arc::new(Offered::of(tools)?);
        Ok(Live {
            session,
            offered,
            listed_at,
            list_version,
        })
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, CallFault>>,
    ) -> Result<T, CallFault> {
        let done = timeout(self.connect_timeout, work).await;
        let answer = done.unwrap_or_else(|_| {
            let message = "the server did not answer in time while connecting";
            Err(CallFault::unsent(FaultKind::Timeout, message))
        });
        answer.map_err(|fault| CallFault {
            sent: Sent::No,
            ..fault
        })
    }

    fn slot(&self, key: &SessionKey) -> Slot {
        let now = Instant::now();
        let mut slots = self.slots();
        if !slots.contains_key(key) {
            // What an older credential or connecting opened is of no more use.
            slots.retain(|other, _| {
                (other.tenant, other.connection) != (key.tenant, key.connection)
            });
            if slots.len() >= self.max {
                let oldest = slots.iter().min_by_key(|(_, (_, used))| *used);
                if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                    slots.remove(&key);
                }
            }
        }
        let (slot, used) = slots
            .entry(key.clone())
            .or_insert_with(|| (Slot::default(), now));
        *used = now;
        slot.clone()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SessionKey, (Slot, Instant)>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offered {
    fn of(tools: Vec<ToolDefinition>) -> Result<Self, CallFault> {
        let fault = |message: String| Err(CallFault::unsent(FaultKind::Protocol, message));
        if tools.len() > MAX_TOOLS {
            return fault(format!("the server offers more than {MAX_TOOLS} tools"));
        }
        let mut hashes = HashMap::with_capacity(tools.len());
        let mut definitions = Vec::with_capacity(tools.len());
        for tool in tools {
            if !is_tool_name(&tool.name) {
                let name = tenancy_core::InvalidInput::quote(&tool.name);
                tracing::warn!(name, "a tool is left out for its name");
                continue;
            }
            if let Some(why) = unstorable(&tool) {
                tracing::warn!(name = tool.name, why, "a tool is left out");
                continue;
            }
            if hashes.insert(tool.name.clone(), tool.hash()).is_some() {
                return fault(format!("the server offers `{}` twice", tool.name));
            }
            definitions.push(tool);
        }
        Ok(Self {
            definitions,
            hashes,
        })
    }
}

/// Why a definition can't be kept.
fn unstorable(tool: &ToolDefinition) -> Option<&'static str> {
    let Ok(whole) = serde_json::to_value(tool) else {
        return Some("its definition is no JSON");
    };
    if has_nul(&whole) {
        return Some("its definition holds NUL");
    }
    (whole.to_string().len() > MAX_DEFINITION).then_some("its definition is too large")
}

const MAX_TOOLS: usize = 1_000;
/// The longest definition, in bytes of JSON.
const MAX_DEFINITION: usize = 256 * 1024;
