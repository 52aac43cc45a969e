//! What is to be called, parsed, and what its record means.

use std::time::Duration;

use serde_json::{Map, Value};
use tenancy_core::TenantCtx;

use crate::{
    EffectClass, Error, ErrorKind, Fingerprint, IdempotencyKey, Invocation, InvocationState,
    InvokeOptions, KeyPlace, Route, RouterLimits, ToolCall, ToolName, ToolOutcome,
    model::{depth, digest},
};

/// A call as it was asked for, before the database was looked at.
pub(super) struct Asked {
    pub(super) name: ToolName,
    key: Option<IdempotencyKey>,
    params: Map<String, Value>,
}

/// A call whose tool is known.
pub(super) struct Request {
    pub(super) name: ToolName,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) fingerprint: Fingerprint,
    pub(super) route: Route,
    params: Map<String, Value>,
}

impl Request {
    /// Reads a call, within the limits.
    pub(super) fn parse(
        tool: &str,
        params: Value,
        options: &InvokeOptions,
        limits: &RouterLimits,
    ) -> Result<Asked, Error> {
        let name = ToolName::parse(tool)?;
        let key = options
            .idempotency_key
            .as_deref()
            .map(IdempotencyKey::parse)
            .transpose()?;
        if depth(&params) > limits.max_params_depth {
            let message = format!("parameters have at most {} levels", limits.max_params_depth);
            return Err(Error::invalid("params_too_deep", message));
        }
        let size = params.to_string().len();
        if size > limits.max_params_bytes {
            let most = limits.max_params_bytes;
            let message = format!("parameters have at most {most} bytes, these have {size}");
            return Err(Error::new(ErrorKind::Limit, "params_too_large", message));
        }
        let params = match params {
            Value::Object(params) => params,
            Value::Null => Map::new(),
            _ => {
                let message = "parameters are a JSON object";
                return Err(Error::invalid("params_invalid", message));
            }
        };
        Ok(Asked { name, key, params })
    }

    /// The parameters as they are sent: with the key, where the server takes one.
    pub(super) fn arguments(&self, ctx: &TenantCtx) -> Map<String, Value> {
        let mut arguments = self.params.clone();
        if let EffectClass::UpstreamKey(KeyPlace::Argument(name)) = &self.route.tool.effect
            && let Some(key) = self.upstream_key(ctx)
        {
            arguments.insert(name.clone(), key.into());
        }
        arguments
    }

    /// The call as it goes over the wire.
    pub(super) fn tool_call(&self, ctx: &TenantCtx, timeout: Duration) -> ToolCall {
        let tool = &self.route.tool;
        let mut call = ToolCall::new(&tool.definition.name, self.arguments(ctx), timeout);
        if let EffectClass::UpstreamKey(KeyPlace::Meta(name)) = &tool.effect
            && let Some(key) = self.upstream_key(ctx)
        {
            call.meta.insert(name.clone(), key.into());
        }
        call
    }

    /// The key that a server drops repetitions by: one for each tenant, tool and key, since
    /// tenants may share an account there.
    fn upstream_key(&self, ctx: &TenantCtx) -> Option<String> {
        let key = self.key.as_ref()?;
        let whole = digest(&[
            b"tenancy-mcp/upstream-key/1",
            ctx.tenant().as_uuid().as_bytes(),
            self.route.tool.id.as_uuid().as_bytes(),
            key.as_str().as_bytes(),
        ]);
        Some(hex::encode(whole.first_chunk::<16>()?))
    }

    /// What the record of the key answers: a result, a refusal, or nothing yet.
    pub(super) fn settled(&self, found: &Invocation) -> Result<Option<ToolOutcome>, Error> {
        if found.fingerprint != self.fingerprint {
            return Err(self.conflict());
        }
        match found.state {
            InvocationState::Failed | InvocationState::Succeeded => replay(found).map(Some),
            InvocationState::Unknown => Err(self.unknown()),
            InvocationState::Dispatched | InvocationState::Retryable => Ok(None),
        }
    }

    pub(super) fn conflict(&self) -> Error {
        let message = format!(
            "this key belongs to a call of `{}` with other parameters",
            self.name
        );
        Error::new(ErrorKind::Conflict, "idempotency_key_reused", message)
    }

    pub(super) fn unknown(&self) -> Error {
        let message = format!(
            "the call of `{}` may have been done and must not be done twice: look, then resolve it",
            self.name
        );
        Error::new(ErrorKind::OutcomeUnknown, "outcome_unknown", message)
    }
}

impl Asked {
    /// Adds the tool the name stands for.
    pub(super) fn routed(self, route: Route) -> Result<Request, Error> {
        if let EffectClass::UpstreamKey(KeyPlace::Argument(name)) = &route.tool.effect
            && self.params.contains_key(name)
        {
            let message = format!("the parameter `{name}` is filled by the router: leave it out");
            return Err(Error::invalid("params_invalid", message));
        }
        Ok(Request {
            fingerprint: Fingerprint::of(route.tool.id, &self.params),
            name: self.name,
            key: self.key,
            params: self.params,
            route,
        })
    }
}

fn replay(found: &Invocation) -> Result<ToolOutcome, Error> {
    let attempts = u32::try_from(found.attempt).unwrap_or(0);
    if let Some(kept) = &found.response {
        if let Some(text) = &kept.text {
            return ToolOutcome::replayed(text.clone(), attempts);
        }
        let message = format!(
            "the call was done; of its result of {} bytes only the SHA-256 {} was kept",
            kept.size,
            hex::encode(kept.hash)
        );
        return Err(Error::new(ErrorKind::Limit, "result_not_kept", message));
    }
    let Some(error) = &found.error else {
        let message = "a settled call has no result";
        return Err(Error::internal("unexpected_row", message));
    };
    let message = format!(
        "the call failed for good: {} (`{}`)",
        error.message, error.code
    );
    Err(Error::new(ErrorKind::Failed, "call_failed", message))
}
