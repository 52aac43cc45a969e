//! The way of a call: what is checked before the server is asked.

use std::{sync::atomic::AtomicBool, time::Duration};

use serde_json::Value;
use tenancy_core::{AuthorizerExt as _, TenantCtx};
use tokio::time::Instant;

use super::{
    parts::Parts,
    request::{Asked, Request},
    router::ToolRouter,
};
use crate::{Error, ErrorKind, Invocation, InvokeOptions, ToolOutcome, ToolStatus, perm};

impl ToolRouter {
    /// Calls a tool, named `connection.tool`, with parameters that are a JSON object.
    ///
    /// With an idempotency key the call is made once, by whichever process comes first; every
    /// other call of the key gets the same bytes, also after a restart. What can fail without
    /// the server (permission, schema, credential, connecting) fails before anything is stored.
    /// A try that fails is repeated only if it is certain that nothing was done, or if the tool
    /// was approved as safe to repeat.
    ///
    /// A tool that answers with an error has answered: look at
    /// [`is_error`](ToolOutcome::is_error).
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `mcp.tools.invoke`;
    /// [`Suspended`](ErrorKind::Suspended) while the tenant is, also for a context that was made
    /// before, and for results that are on record;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for parameters that break the schema, or where a
    /// key is needed; [`Blocked`](ErrorKind::Blocked) for a tool that is not approved as the
    /// server offers it; [`Conflict`](ErrorKind::Conflict) for a key of other parameters;
    /// [`InFlight`](ErrorKind::InFlight) if another call of the key took longer than the
    /// deadline; [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) if it may have been done and must
    /// not be done twice; [`Upstream`](ErrorKind::Upstream) if the server can't be reached: then
    /// the same call with the same key may be made again.
    ///
    /// # Cancellation
    /// A caller who goes away does not stop a call that is on the wire: its outcome is recorded.
    #[tracing::instrument(level = "debug", skip_all, fields(tenant = %ctx.tenant(), tool))]
    pub async fn invoke_mcp_tool(
        &self,
        ctx: &TenantCtx,
        tool: &str,
        params: Value,
        options: InvokeOptions,
    ) -> Result<ToolOutcome, Error> {
        let outcome = self.invoke(ctx, tool, params, options).await;
        let word = match &outcome {
            Ok(outcome) if outcome.replayed => "replayed",
            Ok(_) => "answered",
            Err(error) => error.code(),
        };
        metrics::counter!("tenancy_mcp_calls_total", "outcome" => word).increment(1);
        outcome
    }

    async fn invoke(
        &self,
        ctx: &TenantCtx,
        tool: &str,
        params: Value,
        options: InvokeOptions,
    ) -> Result<ToolOutcome, Error> {
        let deadline = Instant::now() + options.deadline.min(LONGEST);
        let asked = Request::parse(tool, params, &options, &self.0.limits)?;
        self.0
            .authorizer
            .require(ctx, perm::ToolsInvoke::get())
            .await?;
        let (request, found) = self.look_up(ctx, asked).await?;
        let call = Call {
            ctx,
            request,
            options: &options,
            deadline,
            noted: AtomicBool::new(false),
        };
        if let Some(found) = found
            && let Some(outcome) = call.request.settled(&found)?
        {
            return Ok(outcome);
        }
        call.check(&self.0)?;
        self.0
            .budgets
            .earn(ctx.tenant(), &call.request.route.provider.key);
        call.run(&self.0).await
    }
}

impl ToolRouter {
    /// The tool, and the record of the key, in one transaction.
    async fn look_up(
        &self,
        ctx: &TenantCtx,
        asked: Asked,
    ) -> Result<(Request, Option<Invocation>), Error> {
        let mut tx = self.0.db.read(ctx).await?;
        let route = self.0.registry.route_in(&mut tx, &asked.name).await?;
        let request = asked.routed(route.ok_or_else(|| Error::not_found("tool"))?)?;
        let found = match &request.key {
            Some(key) => {
                let tool = request.route.tool.id;
                self.0.invocations.find_in(&mut tx, tool, key).await?
            }
            None => None,
        };
        Ok((request, found))
    }
}

/// The longest deadline.
const LONGEST: Duration = Duration::from_hours(24);

/// A call on its way.
pub(super) struct Call<'a> {
    pub(super) ctx: &'a TenantCtx,
    pub(super) request: Request,
    pub(super) options: &'a InvokeOptions,
    pub(super) deadline: Instant,
    /// Whether the connection's status was written on the way.
    pub(super) noted: AtomicBool,
}

impl Call<'_> {
    /// The answer that is on record, if there is one.
    pub(super) async fn settled(&self, parts: &Parts) -> Result<Option<ToolOutcome>, Error> {
        let Some(key) = &self.request.key else {
            return Ok(None);
        };
        let tool = self.request.route.tool.id;
        match parts.invocations.find(self.ctx, tool, key).await? {
            Some(found) => self.request.settled(&found),
            None => Ok(None),
        }
    }

    /// All that can be refused without the server.
    fn check(&self, parts: &Parts) -> Result<(), Error> {
        let route = &self.request.route;
        Parts::check_open(&route.provider, &route.connection)?;
        let tool = &route.tool;
        let refused = match tool.status {
            ToolStatus::Approved => None,
            ToolStatus::Changed => Some(("tool_changed", "changed since it was approved")),
            ToolStatus::Proposed => Some(("tool_not_approved", "is not approved yet")),
            ToolStatus::Removed => Some(("tool_removed", "is no longer offered by the server")),
            ToolStatus::Revoked => Some(("tool_revoked", "is no longer approved")),
        };
        if let Some((code, why)) = refused {
            return Err(self.blocked(code, why));
        }
        if tool.effect.needs_key() && self.request.key.is_none() {
            let message = format!(
                "`{}` must not be called twice by accident: give an idempotency key",
                self.request.name
            );
            return Err(Error::invalid("idempotency_key_required", message));
        }
        let arguments = self.request.arguments(self.ctx);
        parts.validators.check(tool, &Value::Object(arguments))
    }

    pub(super) fn blocked(&self, code: &'static str, why: &str) -> Error {
        let message = format!("`{}` {why}", self.request.name);
        Error::new(ErrorKind::Blocked, code, message)
    }
}
