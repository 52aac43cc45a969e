//! The one place that sends a call, and keeps how it ended.

use std::{sync::Arc, time::Duration};

use tenancy_core::{Event, Outcome as AuditOutcome, TenantCtx};
use tracing::Instrument as _;

use super::parts::Parts;
use crate::{
    CallFault, Claim, Claimed, Completed, Completion, EffectClass, Error, ErrorKind, FaultKind,
    McpSession, Outcome, StoredError, StoredResponse, ToolCall, ToolId, ToolName, ToolOutcome,
    ToolReply, model::Judgement,
};

/// The claim a call is sent under.
pub(super) struct Record {
    claim: Claim,
    fence: i64,
    attempt: i32,
    may_repeat: bool,
}

/// A call that may be sent now.
pub(super) struct Dispatch {
    pub(super) parts: Arc<Parts>,
    pub(super) ctx: TenantCtx,
    pub(super) name: ToolName,
    pub(super) tool: ToolId,
    pub(super) effect: EffectClass,
    pub(super) rejects_before_work: bool,
    pub(super) call: ToolCall,
    pub(super) session: Arc<dyn McpSession>,
    pub(super) retry_in: Duration,
    /// Set by the claim; `None` for a call without a key, of a tool that is safe to repeat.
    pub(super) record: Option<Record>,
}

/// How it ended.
pub(super) enum Finished {
    Answered(ToolOutcome),
    Fault(CallFault, Judgement, Duration),
    /// The claim was not granted; nothing was sent.
    NotGranted(Claimed),
    /// Somebody took over meanwhile; what counts is on record.
    Superseded,
}

impl Dispatch {
    /// Claims and sends the call in a task of its own: a caller who goes away can neither leave a
    /// claim that nobody follows up, nor keep the outcome from being recorded.
    pub(super) async fn spawn(self, claim: Option<Claim>) -> Result<Finished, Error> {
        let task = tokio::spawn(self.granted(claim).in_current_span());
        task.await.unwrap_or_else(|_| {
            let message = "the runtime is shutting down";
            Err(Error::new(
                ErrorKind::Unavailable,
                "runtime_stopping",
                message,
            ))
        })
    }

    async fn granted(mut self, claim: Option<Claim>) -> Result<Finished, Error> {
        if let Some(claim) = claim {
            match self.parts.invocations.claim(&self.ctx, &claim).await? {
                Claimed::Execute {
                    fence,
                    attempt,
                    may_repeat,
                } => {
                    self.record = Some(Record {
                        claim,
                        fence,
                        attempt,
                        may_repeat,
                    });
                }
                other => return Ok(Finished::NotGranted(other)),
            }
        }
        self.send().await
    }

    async fn send(self) -> Result<Finished, Error> {
        // The transport keeps the time as well; this is for one that does not.
        let limit = self.call.timeout + Duration::from_secs(1);
        let answer = tokio::time::timeout(limit, self.session.call(self.call.clone())).await;
        let answer = answer.unwrap_or_else(|_| {
            let message = "the server did not answer in time";
            Err(CallFault::maybe_sent(FaultKind::Timeout, message))
        });
        match answer {
            Ok(reply) => self.answered(reply).await,
            Err(fault) => self.failed(fault).await,
        }
    }

    async fn answered(self, reply: ToolReply) -> Result<Finished, Error> {
        let text = reply.body.to_string();
        let stored = StoredResponse::new(&text, self.parts.limits.max_stored_result_bytes);
        let (outcome, event) = if reply.is_error {
            let error = StoredError::new("tool_error", "the tool says that it failed");
            (
                Outcome::Failed(error, Some(stored)),
                self.event("failed", Some("tool_error")),
            )
        } else {
            (Outcome::Succeeded(stored), self.event("succeeded", None))
        };
        let attempts = self.attempts();
        Ok(match self.keep(outcome, event).await? {
            Kept::Recorded => Finished::Answered(ToolOutcome::fresh(reply, text, attempts)),
            Kept::Stale => Finished::Superseded,
        })
    }

    async fn failed(self, fault: CallFault) -> Result<Finished, Error> {
        let may_repeat = match &self.record {
            Some(record) => record.may_repeat,
            None => self.effect.may_repeat(),
        };
        let judgement = fault.judge(may_repeat, self.rejects_before_work);
        let asked = fault.retry_after.unwrap_or_default().min(LONGEST_WAIT);
        let after = self.retry_in.max(asked);
        let error = StoredError::new(fault.kind.as_str(), &fault.message);
        let (state, outcome) = match judgement {
            Judgement::Final => ("failed", Outcome::Failed(error, None)),
            Judgement::NotExecuted => ("retryable", Outcome::NotExecuted(error, after)),
            Judgement::Repeatable => ("retryable", Outcome::Ambiguous(error, after)),
            Judgement::Unknown => ("unknown", Outcome::Ambiguous(error, after)),
        };
        let event = self.event(state, Some(fault.kind.as_str()));
        Ok(match self.keep(outcome, event).await? {
            Kept::Recorded => Finished::Fault(fault, judgement, after),
            Kept::Stale => Finished::Superseded,
        })
    }

    /// Keeps outcome and event together, and does not give up at the first trouble: what is lost
    /// here leaves a call unknown.
    async fn keep(&self, outcome: Outcome, event: Event) -> Result<Kept, Error> {
        let mut tries_left = KEEP_TRIES;
        loop {
            match self.keep_once(&outcome, event.clone()).await {
                Err(error) if tries_left > 0 && error.retry().is_retryable() => {
                    tries_left -= 1;
                    tracing::warn!(%error, tool = %self.name, "an outcome is kept at the next try");
                    tokio::time::sleep(KEEP_PAUSE * (KEEP_TRIES - tries_left)).await;
                }
                Err(error) => {
                    metrics::counter!("tenancy_mcp_outcomes_lost_total").increment(1);
                    tracing::error!(%error, tool = %self.name, "an outcome could not be kept");
                    return Err(self.lost(error));
                }
                Ok(kept) => return Ok(kept),
            }
        }
    }

    async fn keep_once(&self, outcome: &Outcome, event: Event) -> Result<Kept, Error> {
        let Some(record) = &self.record else {
            self.parts.audit.record(&self.ctx, event).await?;
            return Ok(Kept::Recorded);
        };
        let completion = Completion::new(&record.claim, record.fence, outcome.clone());
        let store = &self.parts.invocations;
        Ok(match store.complete(&self.ctx, &completion, event).await? {
            Completed::Recorded(_) => Kept::Recorded,
            Completed::Stale => Kept::Stale,
        })
    }

    /// Without a record it is only the audit log that is missing; with one, the call is in doubt.
    fn lost(&self, error: Error) -> Error {
        if self.record.is_none() {
            return error;
        }
        let message = format!(
            "`{}` was called and its outcome could not be recorded: {error}",
            self.name
        );
        Error::new(ErrorKind::OutcomeUnknown, "outcome_not_recorded", message)
    }

    fn event(&self, state: &'static str, code: Option<&'static str>) -> Event {
        let outcome = match code {
            None => AuditOutcome::Allowed,
            Some(_) => AuditOutcome::Error,
        };
        let mut event = Event::new("mcp.tool.invoked")
            .outcome(outcome)
            .target("mcp_tool", self.tool)
            .meta("tool", self.name.to_string())
            .meta("effect", self.effect.as_str())
            .meta("state", state);
        if let Some(code) = code {
            event = event.meta("code", code);
        }
        if let Some(record) = &self.record {
            event = event
                .meta("call", record.claim.key.as_str())
                .meta("attempt", record.attempt);
        }
        event
    }

    fn attempts(&self) -> u32 {
        let attempt = self.record.as_ref().map_or(0, |record| record.attempt);
        u32::try_from(attempt).unwrap_or(0)
    }
}

enum Kept {
    Recorded,
    Stale,
}

/// The longest that a server may have us wait for the next try.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
const KEEP_TRIES: u32 = 6;
const KEEP_PAUSE: Duration = Duration::from_millis(50);
