use std::sync::Arc;

use async_trait::async_trait;
use tenancy_core::TenantCtx;

use crate::{CallFault, ConnectTarget, ToolCall, ToolDefinition, ToolReply};

/// Opens sessions with MCP servers.
///
/// # Contract
/// A session belongs to one tenant, one connection and one credential: the router never shares
/// one, and an implementation must not either. It checks by itself where it may connect to.
/// Every fault is [`Sent::No`](crate::Sent::No), since no call was made.
///
/// # Concurrency
/// Any number of calls at once.
///
/// # Errors and retry
/// As [`FaultKind`](crate::FaultKind) says. Nothing is retried inside: the router is the one
/// layer that retries.
///
/// # Cancellation
/// A dropped call leaves no session and no child process behind.
///
/// # For implementors
/// `tenancy_mcp::testing::FakeTransport` is one in memory. The credential must not appear in
/// faults, logs or `Debug`.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait McpTransport: Send + Sync + 'static {
    /// Connects and agrees on a revision of the protocol.
    async fn connect(
        &self,
        ctx: &TenantCtx,
        target: ConnectTarget,
    ) -> Result<Arc<dyn McpSession>, CallFault>;
}

/// A session with an MCP server, opened with one credential.
///
/// # Contract
/// [`call`](Self::call) sends a call at most once. A fault says [`Sent::No`](crate::Sent::No)
/// only when it is certain that the server did nothing of the call; a time limit that passed, a
/// stream that ended, a 5xx are [`Sent::Maybe`](crate::Sent::Maybe). A tool's own error is an
/// answer, not a fault. [`list_tools`](Self::list_tools) asks the server each time.
///
/// # Concurrency
/// Any number of calls at once.
///
/// # Errors and retry
/// Nothing is retried inside. A call that ran out of time does not end the session.
///
/// # Cancellation
/// A dropped call tells the server so, where the protocol can; what it did stays open.
///
/// # For implementors
/// Dropping the last reference closes the session.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait McpSession: Send + Sync + 'static {
    /// All tools, over all pages, in the server's order.
    async fn list_tools(&self) -> Result<Vec<ToolDefinition>, CallFault>;

    /// Calls a tool once.
    async fn call(&self, call: ToolCall) -> Result<ToolReply, CallFault>;

    /// Counts the times the server said that its list of tools changed.
    fn tool_list_version(&self) -> u64;

    /// The revision of the protocol, such as `2026-07-28`.
    fn protocol(&self) -> Option<String>;

    /// Whether calls can still be sent.
    fn is_open(&self) -> bool;

    /// Ends the session. Calls that are being made end with a fault.
    async fn close(&self);
}
