//! The way of a call: session, claim, tries.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    budget::backoff,
    dispatch::{Dispatch, Finished},
    invoke::Call,
    parts::{Link, NoSession, Opened, Parts},
};
use crate::{
    CallFault, Claim, Claimed, Error, ErrorKind, FaultKind, InvocationState, ToolOutcome,
    ToolStatus, model::Judgement,
};

/// Where one try leads.
enum Step {
    Done(ToolOutcome),
    /// Try again after this wait; it counts as a try.
    Again(Duration, Error),
    /// Look again after this wait: somebody else is at it, or it is not time yet.
    Wait(Duration, Error),
}

impl Call<'_> {
    /// Tries until there is an answer, or no more reason to hope for one.
    pub(super) async fn run(&self, parts: &Arc<Parts>) -> Result<ToolOutcome, Error> {
        let most = self.options.max_attempts.clamp(1, MOST_ATTEMPTS);
        let (mut attempt, mut looks, mut renewed) = (1, 0, false);
        let mut step = self.attempt(parts, attempt + 1, &mut renewed).await?;
        loop {
            step = match step {
                Step::Done(outcome) => return Ok(outcome),
                Step::Again(after, why) => {
                    let provider = &self.request.route.provider.key;
                    if attempt >= most || !parts.budgets.take(self.ctx.tenant(), provider) {
                        return Err(why);
                    }
                    attempt += 1;
                    self.pause(after, why).await?;
                    self.look_again(parts).await?;
                    self.attempt(parts, attempt + 1, &mut renewed).await?
                }
                Step::Wait(after, why) => {
                    // Looked at often at first: most calls are short.
                    let look = LOOK.saturating_mul(1 << looks).min(LONGEST_LOOK);
                    looks = (looks + 1).min(8);
                    self.pause(after.min(look), why).await?;
                    match self.look(parts).await? {
                        Some(step) => step,
                        None => self.attempt(parts, attempt + 1, &mut renewed).await?,
                    }
                }
            };
        }
    }

    /// Waits, unless the deadline comes first.
    async fn pause(&self, after: Duration, why: Error) -> Result<(), Error> {
        if after >= self.deadline.saturating_duration_since(Instant::now()) {
            return Err(why);
        }
        tokio::time::sleep(after).await;
        Ok(())
    }

    /// What nobody claims is looked up again before it is sent again: meanwhile the tenant may be
    /// suspended, the tool revoked, the connection taken away.
    async fn look_again(&self, parts: &Parts) -> Result<(), Error> {
        if self.request.key.is_some() {
            return Ok(());
        }
        let now = parts.route(self.ctx, &self.request.name).await?;
        let now = now.ok_or_else(|| Error::not_found("tool"))?;
        Parts::check_open(&now.provider, &now.connection)?;
        let then = &self.request.route.tool;
        match now.tool.status {
            ToolStatus::Approved
                if now.tool.hash == then.hash && now.tool.effect == then.effect =>
            {
                Ok(())
            }
            _ => Err(self.blocked("tool_blocked", "is no longer approved as it was")),
        }
    }

    /// How far the call of the same key is that somebody else makes, without disturbing it.
    /// `None` if it may be claimed.
    async fn look(&self, parts: &Parts) -> Result<Option<Step>, Error> {
        let Some(key) = &self.request.key else {
            return Ok(None);
        };
        let tool = self.request.route.tool.id;
        let Some(found) = parts.invocations.find(self.ctx, tool, key).await? else {
            return Ok(None);
        };
        if let Some(outcome) = self.request.settled(&found)? {
            return Ok(Some(Step::Done(outcome)));
        }
        if found.wait.is_zero() {
            return Ok(None);
        }
        let why = match found.state {
            InvocationState::Retryable => not_due(found.wait),
            _ => self.in_flight(found.wait),
        };
        Ok(Some(Step::Wait(found.wait, why)))
    }

    async fn attempt(
        &self,
        parts: &Arc<Parts>,
        next: u16,
        renewed: &mut bool,
    ) -> Result<Step, Error> {
        let opened = match self.open(parts).await {
            Ok(opened) => opened,
            Err(NoSession::Fault(fault)) if !fault.is_final() => {
                let after = backoff(self.options, next, fault.retry_after);
                return Ok(Step::Again(after, Error::upstream(&fault)));
            }
            Err(reason) => return Err(reason.into()),
        };
        self.check_offered(parts, &opened).await?;
        let timeout = self.attempt_timeout()?;
        let route = &self.request.route;
        let dispatch = Dispatch {
            parts: parts.clone(),
            ctx: self.ctx.clone(),
            name: self.request.name.clone(),
            tool: route.tool.id,
            effect: route.tool.effect.clone(),
            rejects_before_work: route.provider.rejects_before_work,
            call: self.request.tool_call(self.ctx, timeout),
            session: opened.live.session.clone(),
            retry_in: backoff(self.options, next, None),
            record: None,
        };
        let finished = dispatch.spawn(self.claim(parts, timeout)).await?;
        self.after(parts, opened, finished, renewed).await
    }

    async fn open(&self, parts: &Parts) -> Result<Opened, NoSession> {
        match tokio::time::timeout_at(self.deadline, parts.open(self.link(), false)).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::deadline("connecting took longer than the deadline").into()),
        }
    }

    /// The server must offer exactly what was approved, by its newest list: read when the session
    /// was opened, when the server said that it changed, and after `tool_list_ttl`.
    async fn check_offered(&self, parts: &Parts, opened: &Opened) -> Result<(), Error> {
        let tool = &self.request.route.tool;
        let offered = &opened.live.offered;
        let refused = match offered.hashes.get(&tool.definition.name) {
            Some(hash) if *hash == tool.hash => return Ok(()),
            Some(_) => self.blocked("tool_changed", "changed since it was approved"),
            None => self.blocked("tool_removed", "is no longer offered by the server"),
        };
        parts.observe(self.link(), &offered.definitions).await?;
        Err(refused)
    }

    /// What to claim before the call is sent; nothing for a call without a key.
    fn claim(&self, parts: &Parts, timeout: Duration) -> Option<Claim> {
        let tool = &self.request.route.tool;
        let key = self.request.key.clone()?;
        let lease = timeout.saturating_add(parts.limits.lease_grace);
        let claim = Claim::new(tool.id, key, self.request.fingerprint, tool.hash, lease);
        Some(claim.with_effect(tool.effect.clone()))
    }

    async fn after(
        &self,
        parts: &Parts,
        opened: Opened,
        finished: Finished,
        renewed: &mut bool,
    ) -> Result<Step, Error> {
        match finished {
            Finished::Answered(outcome) => {
                parts.connected(self.link(), &opened.live).await;
                Ok(Step::Done(outcome))
            }
            Finished::Fault(fault, judgement, after) => {
                self.after_fault(parts, &opened, &fault, renewed).await?;
                match judgement {
                    Judgement::Final => Err(Error::upstream(&fault)),
                    Judgement::Unknown => Err(self.request.unknown()),
                    Judgement::NotExecuted | Judgement::Repeatable => {
                        Ok(Step::Again(after, Error::upstream(&fault)))
                    }
                }
            }
            Finished::NotGranted(Claimed::InFlight(left)) => {
                Ok(Step::Wait(left, self.in_flight(left)))
            }
            Finished::NotGranted(Claimed::NotDue(left)) => Ok(Step::Wait(left, not_due(left))),
            Finished::NotGranted(Claimed::Blocked) => {
                Err(self.blocked("tool_blocked", "or its connection was closed meanwhile"))
            }
            Finished::NotGranted(Claimed::Conflict) => Err(self.request.conflict()),
            Finished::NotGranted(Claimed::Unknown) => Err(self.request.unknown()),
            Finished::NotGranted(Claimed::Suspended) => Err(Error::suspended()),
            Finished::NotGranted(_) | Finished::Superseded => {
                Ok(match self.settled(parts).await? {
                    Some(outcome) => Step::Done(outcome),
                    None => Step::Wait(LOOK, self.in_flight(LOOK)),
                })
            }
        }
    }

    /// What a fault means for the connection and its session.
    async fn after_fault(
        &self,
        parts: &Parts,
        opened: &Opened,
        fault: &CallFault,
        renewed: &mut bool,
    ) -> Result<(), Error> {
        if fault.ends_session() {
            let session = &opened.live.session;
            parts.sessions.discard(&opened.key, session).await;
        }
        match fault.kind {
            FaultKind::Closed | FaultKind::Unreachable | FaultKind::Server => {
                parts.degraded(self.link(), fault).await;
            }
            FaultKind::Unauthorized => {
                // A second refusal is for good: the newer credential was not taken either.
                let refused = if *renewed { None } else { opened.generation };
                parts.renew(self.link(), refused).await?;
                *renewed = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn attempt_timeout(&self) -> Result<Duration, Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::deadline(
                "the deadline passed before the call was sent",
            ));
        }
        Ok(left.min(self.options.attempt_timeout))
    }

    fn link(&self) -> Link<'_> {
        Link {
            ctx: self.ctx,
            provider: &self.request.route.provider,
            connection: &self.request.route.connection,
            noted: &self.noted,
        }
    }

    fn in_flight(&self, left: Duration) -> Error {
        let name = &self.request.name;
        let message = format!("another call of `{name}` with this key is being made");
        Error::new(ErrorKind::InFlight, "in_flight", message).with_retry_after(left)
    }
}

fn not_due(left: Duration) -> Error {
    let message = "the call waits for its next try";
    Error::new(ErrorKind::Upstream, "not_due", message).with_retry_after(left)
}

/// The first wait for somebody else's call, which doubles up to the longest.
const LOOK: Duration = Duration::from_millis(10);
const LONGEST_LOOK: Duration = Duration::from_millis(500);
const MOST_ATTEMPTS: u16 = 10;
