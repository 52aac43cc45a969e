//! A session on the SDK.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use rmcp::{
    ClientHandler, RoleClient,
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation,
        RequestMetaObject, Tool,
    },
    service::{NotificationContext, RunningService},
};
use serde_json::Value;

use super::fault;
use crate::{CallFault, FaultKind, McpSession, ToolCall, ToolDefinition, ToolReply};

/// What the SDK asks of us while a session lives: nothing but to hear that tools changed.
#[derive(Clone, Default)]
pub(super) struct Listener {
    tool_list_version: Arc<AtomicU64>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let client = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), client)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.tool_list_version.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) struct RmcpSession {
    service: RunningService<RoleClient, Listener>,
}

impl RmcpSession {
    pub(super) fn new(service: RunningService<RoleClient, Listener>) -> Self {
        Self { service }
    }
}

#[async_trait]
impl McpSession for RmcpSession {
    async fn list_tools(&self) -> Result<Vec<ToolDefinition>, CallFault> {
        let tools = self.service.peer().list_all_tools().await;
        let tools = tools.map_err(|error| fault::of_call(&error))?;
        tools.into_iter().map(definition).collect()
    }

    async fn call(&self, call: ToolCall) -> Result<ToolReply, CallFault> {
        if !self.is_open() {
            let message = "the session ended before the call was sent";
            return Err(CallFault::unsent(FaultKind::Closed, message));
        }
        let mut params = CallToolRequestParams::new(call.name).with_arguments(call.arguments);
        if !call.meta.is_empty() {
            let mut meta = RequestMetaObject::new();
            meta.0.extend(rmcp::model::MetaObject(call.meta));
            params.meta = Some(meta);
        }
        // Dropping the call when its time is up tells the server so.
        let calling = self.service.peer().call_tool_once(params);
        let response = tokio::time::timeout(call.timeout, calling).await;
        let response = response.map_err(|_| {
            CallFault::maybe_sent(FaultKind::Timeout, "the server did not answer in time")
        })?;
        if let CallToolResponse::Complete(result) =
            response.map_err(|error| fault::of_call(&error))?
        {
            return reply(&result);
        }
        // We offer neither, so the server has no right to ask.
        let message = "the server asks for input or a task instead of giving a result";
        Err(CallFault::maybe_sent(FaultKind::Protocol, message))
    }

    fn tool_list_version(&self) -> u64 {
        self.service
            .service()
            .tool_list_version
            .load(Ordering::Relaxed)
    }

    fn protocol(&self) -> Option<String> {
        let info = self.service.peer().peer_info()?;
        Some(info.protocol_version.to_string())
    }

    fn is_open(&self) -> bool {
        !self.service.is_closed() && !self.service.peer().is_transport_closed()
    }

    async fn close(&self) {
        self.service.cancellation_token().cancel();
    }
}

fn definition(tool: Tool) -> Result<ToolDefinition, CallFault> {
    let object = |map: &Arc<rmcp::model::JsonObject>| Value::Object(map.as_ref().clone());
    let annotations = tool.annotations.map(serde_json::to_value).transpose();
    Ok(ToolDefinition {
        input_schema: object(&tool.input_schema),
        output_schema: tool.output_schema.as_ref().map(object),
        annotations: annotations.map_err(|_| unreadable())?,
        name: tool.name.into_owned(),
        title: tool.title,
        description: tool.description.map(std::borrow::Cow::into_owned),
    })
}

fn reply(result: &rmcp::model::CallToolResult) -> Result<ToolReply, CallFault> {
    let mut body = serde_json::to_value(result).map_err(|_| unreadable())?;
    if let Some(body) = body.as_object_mut() {
        // Says that the result is whole, which is all that gets here.
        body.remove("resultType");
    }
    Ok(ToolReply::new(body))
}

fn unreadable() -> CallFault {
    let message = "the server's answer can't be written as JSON";
    CallFault::maybe_sent(FaultKind::Protocol, message)
}
