//! A server in memory.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use tenancy_core::TenantCtx;

use crate::{
    CallFault, ConnectTarget, FaultKind, McpSession, McpTransport, ToolCall, ToolDefinition,
    ToolReply,
};

/// What a [`FakeTransport`] does with one call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FakeAnswer {
    /// Gives this fault; the call does not count as done.
    Fault(CallFault),
    /// Gives this fault after doing it.
    FaultAfterEffect(CallFault),
    /// Does it after this long.
    Slow(Duration),
    /// Answers so.
    Reply(ToolReply),
}

/// A transport to a server in memory, for tests. It does every call, echoes its arguments, and
/// keeps what was done; what a test scripted comes first.
#[derive(Clone, Default)]
pub struct FakeTransport(Arc<Server>);

#[derive(Default)]
struct Server {
    tools: Mutex<Vec<ToolDefinition>>,
    script: Mutex<VecDeque<FakeAnswer>>,
    done: Mutex<Vec<ToolCall>>,
    connect_faults: Mutex<VecDeque<CallFault>>,
    secrets: Mutex<Option<Vec<String>>>,
    connects: AtomicU64,
    list_version: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeTransport {
    /// A server that offers these tools.
    pub fn offering(tools: Vec<ToolDefinition>) -> Self {
        let fake = Self::default();
        fake.offer(tools);
        fake
    }

    /// Offers other tools from now on, and says that they changed.
    pub fn offer(&self, tools: Vec<ToolDefinition>) {
        *locked(&self.0.tools) = tools;
        self.0.list_version.fetch_add(1, Ordering::SeqCst);
    }

    /// Scripts the next call that has none yet.
    pub fn next(&self, answer: FakeAnswer) {
        locked(&self.0.script).push_back(answer);
    }

    /// Lets the next connecting fail.
    pub fn next_connect(&self, fault: CallFault) {
        locked(&self.0.connect_faults).push_back(fault);
    }

    /// Takes only these credentials from now on; sessions with others are refused.
    pub fn accept_only(&self, secrets: &[&str]) {
        let secrets = secrets.iter().map(ToString::to_string).collect();
        *locked(&self.0.secrets) = Some(secrets);
    }

    /// The calls that were done, in order.
    pub fn done(&self) -> Vec<ToolCall> {
        locked(&self.0.done).clone()
    }

    /// How often somebody connected.
    pub fn connects(&self) -> u64 {
        self.0.connects.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for FakeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeTransport").finish_non_exhaustive()
    }
}

impl Server {
    fn check(&self, secret: Option<&str>) -> Result<(), CallFault> {
        match &*locked(&self.secrets) {
            Some(good) if !good.iter().any(|good| Some(good.as_str()) == secret) => {
                let message = "the server does not take the credential";
                Err(CallFault::unsent(FaultKind::Unauthorized, message))
            }
            _ => Ok(()),
        }
    }

    fn does(&self, call: ToolCall) -> ToolReply {
        let echo = json!({
            "content": [{"type": "text", "text": "done"}],
            "structuredContent": {"arguments": call.arguments, "nr": locked(&self.done).len() + 1},
        });
        locked(&self.done).push(call);
        ToolReply::new(echo)
    }
}

#[async_trait]
impl McpTransport for FakeTransport {
    async fn connect(
        &self,
        _: &TenantCtx,
        target: ConnectTarget,
    ) -> Result<Arc<dyn McpSession>, CallFault> {
        self.0.connects.fetch_add(1, Ordering::SeqCst);
        if let Some(fault) = locked(&self.0.connect_faults).pop_front() {
            return Err(fault);
        }
        let secret = target
            .credential
            .map(|held| held.secret.expose().to_owned());
        self.0.check(secret.as_deref())?;
        Ok(Arc::new(FakeSession {
            server: self.0.clone(),
            secret,
            open: AtomicBool::new(true),
        }))
    }
}

struct FakeSession {
    server: Arc<Server>,
    secret: Option<String>,
    open: AtomicBool,
}

#[async_trait]
impl McpSession for FakeSession {
    async fn list_tools(&self) -> Result<Vec<ToolDefinition>, CallFault> {
        self.server.check(self.secret.as_deref())?;
        Ok(locked(&self.server.tools).clone())
    }

    async fn call(&self, call: ToolCall) -> Result<ToolReply, CallFault> {
        self.server.check(self.secret.as_deref())?;
        let scripted = locked(&self.server.script).pop_front();
        match scripted {
            None => Ok(self.server.does(call)),
            Some(FakeAnswer::Fault(fault)) => Err(fault),
            Some(FakeAnswer::FaultAfterEffect(fault)) => {
                self.server.does(call);
                Err(fault)
            }
            Some(FakeAnswer::Slow(time)) => {
                let limit = call.timeout;
                let reply = self.server.does(call);
                let answer = async {
                    tokio::time::sleep(time).await;
                    reply
                };
                tokio::time::timeout(limit, answer).await.map_err(|_| {
                    CallFault::maybe_sent(FaultKind::Timeout, "the server did not answer in time")
                })
            }
            Some(FakeAnswer::Reply(reply)) => {
                self.server.does(call);
                Ok(reply)
            }
        }
    }

    fn tool_list_version(&self) -> u64 {
        self.server.list_version.load(Ordering::SeqCst)
    }

    fn protocol(&self) -> Option<String> {
        Some("fake".to_owned())
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    async fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
    }
}
