//! Plain values and what follows from them, without I/O.

mod call;
mod canonical;
mod connection;
mod fault;
mod id;
mod invocation;
mod lost;
mod options;
mod outcome;
mod provider;
mod tool;

pub use call::{ConnectTarget, ToolCall, ToolReply};
pub use connection::{Connection, ConnectionStatus, NewConnection, StatusChange};
pub use fault::{CallFault, FaultKind, Sent};
pub use id::{ConnectionId, ConnectionKey, IdempotencyKey, ProviderKey, ToolId, ToolName};
pub use invocation::{
    Claim, Claimed, Completed, Completion, Fingerprint, Invocation, InvocationState, Outcome,
    Resolution, StoredError, StoredResponse,
};
pub use options::{InvokeOptions, RouterLimits};
pub use outcome::ToolOutcome;
pub use provider::{AuthKind, Endpoint, Provider};
pub use tool::{
    DefinitionHash, EffectClass, KeyPlace, Tool, ToolChange, ToolDefinition, ToolNews, ToolStatus,
};

pub(crate) use canonical::{canonical, depth, digest, has_nul};
pub(crate) use fault::Judgement;
pub(crate) use id::is_tool_name;
pub(crate) use lost::LostTry;
