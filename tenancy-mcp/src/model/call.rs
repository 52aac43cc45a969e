//! What goes over the wire, in neutral types.

use std::time::Duration;

use serde_json::{Map, Value};
use tenancy_core::Credential;

use super::{ConnectionKey, Provider};

/// What a transport is to connect to.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectTarget {
    /// Where, and how to prove who calls.
    pub provider: Provider,
    /// For which connection: names it in logs.
    pub connection: ConnectionKey,
    /// What opens it.
    pub credential: Option<Credential>,
    /// How long connecting may take in all.
    pub timeout: Duration,
}

impl ConnectTarget {
    /// A target without credential, to be reached within 15 seconds.
    pub fn new(provider: Provider, connection: ConnectionKey) -> Self {
        Self {
            provider,
            connection,
            credential: None,
            timeout: Duration::from_secs(15),
        }
    }

    /// Adds what opens it.
    pub fn with_credential(mut self, credential: Option<Credential>) -> Self {
        self.credential = credential;
        self
    }

    /// Bounds how long connecting may take.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// One call of a tool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ToolCall {
    /// The server's name for the tool.
    pub name: String,
    /// The parameters.
    pub arguments: Map<String, Value>,
    /// What goes into the request's `_meta`.
    pub meta: Map<String, Value>,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

impl ToolCall {
    /// A call without `_meta`.
    pub fn new(name: impl Into<String>, arguments: Map<String, Value>, timeout: Duration) -> Self {
        Self {
            name: name.into(),
            arguments,
            meta: Map::new(),
            timeout,
        }
    }
}

/// What a server answered to a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolReply {
    /// The result as the protocol has it: `content`, `structuredContent`, `isError`.
    pub body: Value,
    /// Whether the tool says that it failed. A definite answer all the same.
    pub is_error: bool,
}

impl ToolReply {
    /// Takes a result over; `isError` is read from it.
    pub fn new(body: Value) -> Self {
        let is_error = body
            .get("isError")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        Self { body, is_error }
    }
}
