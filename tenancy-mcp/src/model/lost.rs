//! A try whose caller is gone.

use tenancy_core::{Event, Outcome};

use super::{IdempotencyKey, InvocationState, ToolId};

/// A try that was ended because its lease was over and nobody had completed it.
#[derive(Clone, Debug)]
pub(crate) struct LostTry {
    pub(crate) tool: ToolId,
    /// The tool's whole name, where the store knows it.
    pub(crate) name: Option<String>,
    pub(crate) key: IdempotencyKey,
    pub(crate) effect: String,
    /// What the call is now.
    pub(crate) state: InvocationState,
    pub(crate) attempt: i32,
    /// Who made the try, and in which request: the entry's own actor is whoever found it.
    pub(crate) caller: Option<String>,
    pub(crate) request: Option<String>,
}

impl LostTry {
    /// What is recorded of it, once.
    pub(crate) fn event(&self) -> Event {
        let known = [
            ("tool", &self.name),
            ("caller", &self.caller),
            ("request", &self.request),
        ];
        let event = Event::new("mcp.invocation.lost")
            .outcome(Outcome::Error)
            .target("mcp_tool", self.tool)
            .meta("call", self.key.as_str())
            .meta("effect", self.effect.as_str())
            .meta("state", self.state.as_str())
            .meta("code", "owner_lost")
            .meta("attempt", self.attempt);
        known
            .into_iter()
            .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
            .fold(event, |event, (name, value)| event.meta(name, value))
    }
}
