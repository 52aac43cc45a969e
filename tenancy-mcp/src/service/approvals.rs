//! What may be called, and what became of calls nobody knows the end of.

use serde_json::Value;
use tenancy_core::{AuthorizerExt as _, Event, TenantCtx};

use super::{registry::McpRegistry, validators};
use crate::{
    Approved, DefinitionHash, EffectClass, Error, ErrorKind, IdempotencyKey, Invocation, Outcome,
    Resolution, Route, StoredError, StoredResponse, ToolName, ToolReply, perm,
};

impl McpRegistry {
    /// Approves a tool as it is offered now, and says what repeating a call of it does.
    ///
    /// `seen` is the [hash](crate::Tool::offered_hash) of the definition the approver looked at.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `mcp.tools.approve`;
    /// [`Conflict`](ErrorKind::Conflict) with the code `definition_changed` if the server offers
    /// something else by now; [`InvalidInput`](ErrorKind::InvalidInput) if the tool's schema
    /// can't be used.
    pub async fn approve(
        &self,
        ctx: &TenantCtx,
        name: &ToolName,
        seen: DefinitionHash,
        effect: EffectClass,
    ) -> Result<(), Error> {
        self.0
            .authorizer
            .require(ctx, perm::ToolsApprove::get())
            .await?;
        let tool = self.route(ctx, name).await?.tool;
        let definition = tool.offered.as_ref().unwrap_or(&tool.definition);
        validators::compile(&definition.input_schema)?;
        let mut tx = self.0.db.write(ctx).await?;
        let approved = self
            .0
            .registry
            .approve_in(&mut tx, tool.id, seen, &effect)
            .await?;
        match approved {
            Approved::Done => {}
            Approved::Gone => return Err(Error::not_found("tool")),
            Approved::Stale => {
                let message = format!("`{name}` is no longer what was looked at: look again");
                let code = "definition_changed";
                return Err(Error::new(ErrorKind::Conflict, code, message));
            }
        }
        let event = Event::new("mcp.tool.approved")
            .target("mcp_tool", tool.id)
            .meta("tool", name.to_string())
            .meta("definition", seen.to_string())
            .meta("effect", effect.as_str());
        self.0.audit.record_in(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }

    /// Takes an approval back: calls are refused from now on.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `mcp.tools.approve`;
    /// [`Conflict`](ErrorKind::Conflict) if there is no approval.
    pub async fn revoke(&self, ctx: &TenantCtx, name: &ToolName) -> Result<(), Error> {
        self.0
            .authorizer
            .require(ctx, perm::ToolsApprove::get())
            .await?;
        let tool = self.route(ctx, name).await?.tool;
        let mut tx = self.0.db.write(ctx).await?;
        if !self.0.registry.revoke_in(&mut tx, tool.id).await? {
            let message = format!("`{name}` is not approved");
            return Err(Error::new(
                ErrorKind::Conflict,
                "tool_not_approved",
                message,
            ));
        }
        let event = Event::new("mcp.tool.revoked")
            .target("mcp_tool", tool.id)
            .meta("tool", name.to_string());
        self.0.audit.record_in(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }

    /// The calls of the tenant whose outcome is unknown, oldest first; at most 200.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `mcp.invocations.resolve`.
    pub async fn unknown(&self, ctx: &TenantCtx) -> Result<Vec<Invocation>, Error> {
        self.0
            .authorizer
            .require(ctx, perm::InvocationsResolve::get())
            .await?;
        self.0.invocations.unknown(ctx, 200).await
    }

    /// Settles a call whose outcome was unknown, after somebody looked.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `mcp.invocations.resolve`;
    /// [`Conflict`](ErrorKind::Conflict) if the call's outcome is not unknown.
    pub async fn resolve(
        &self,
        ctx: &TenantCtx,
        name: &ToolName,
        key: &IdempotencyKey,
        resolution: Resolution,
    ) -> Result<(), Error> {
        self.0
            .authorizer
            .require(ctx, perm::InvocationsResolve::get())
            .await?;
        let tool = self.route(ctx, name).await?.tool;
        let (word, outcome) = self.settled(resolution);
        let event = Event::new("mcp.invocation.resolved")
            .target("mcp_tool", tool.id)
            .meta("tool", name.to_string())
            .meta("call", key.as_str())
            .meta("state", word);
        let store = &self.0.invocations;
        if store.resolve(ctx, tool.id, key, &outcome, event).await? {
            return Ok(());
        }
        let message = format!("the outcome of the call `{key}` is not unknown");
        Err(Error::new(ErrorKind::Conflict, "outcome_known", message))
    }

    fn settled(&self, resolution: Resolution) -> (&'static str, Outcome) {
        match resolution {
            Resolution::Succeeded(body) => {
                let text = result_body(body).to_string();
                let limit = self.0.limits.max_stored_result_bytes;
                (
                    "succeeded",
                    Outcome::Succeeded(StoredResponse::new(&text, limit)),
                )
            }
            Resolution::Failed(reason) => {
                let reason: String = reason.chars().take(500).collect();
                let error = StoredError::new("resolved_as_failed", reason);
                ("failed", Outcome::Failed(error, None))
            }
        }
    }

    async fn route(&self, ctx: &TenantCtx, name: &ToolName) -> Result<Route, Error> {
        let route = self.0.route(ctx, name).await?;
        route.ok_or_else(|| Error::not_found("tool"))
    }
}

/// A result as the protocol has it; a bare value becomes its structured part.
fn result_body(body: Value) -> Value {
    if body.get("content").is_some_and(Value::is_array) {
        return ToolReply::new(body).body;
    }
    serde_json::json!({"content": [], "structuredContent": body})
}
