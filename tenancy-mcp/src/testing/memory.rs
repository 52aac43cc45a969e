//! The record of calls in memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::Utc;
use tenancy_core::{AuditSink, Event, TenantCtx, TenantId, TenantTx};

use crate::{
    Claim, Claimed, Completed, Completion, Error, IdempotencyKey, Invocation, InvocationState,
    InvocationStore, Outcome, StoredError, StoredResponse, ToolId, model::LostTry,
};

const OWNER_LOST: &str = "owner_lost";

type Key = (TenantId, ToolId, IdempotencyKey);

/// Keeps the record of calls in memory, for tests. Passes the suite of the port; whether a tool
/// is still approved it can't know, so it never answers
/// [`Blocked`](crate::Claimed::Blocked).
#[derive(Clone)]
pub struct MemoryInvocations {
    rows: Arc<Mutex<HashMap<Key, Row>>>,
    audit: Arc<dyn AuditSink>,
}

#[derive(Clone)]
struct Row {
    call: Invocation,
    may_repeat: bool,
    effect: &'static str,
    /// The end of the lease, or of the wait before the next try.
    until: Instant,
}

impl MemoryInvocations {
    /// An empty record.
    pub fn new(audit: Arc<dyn AuditSink>) -> Self {
        Self {
            rows: Arc::default(),
            audit,
        }
    }

    async fn record(
        &self,
        ctx: &TenantCtx,
        lost: impl IntoIterator<Item = LostTry> + Send,
    ) -> Result<(), Error> {
        let events: Vec<_> = lost.into_iter().map(|lost| lost.event()).collect();
        for event in events {
            self.audit.record(ctx, event).await?;
        }
        Ok(())
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<Key, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryInvocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryInvocations").finish_non_exhaustive()
    }
}

impl Row {
    fn new(claim: &Claim) -> Self {
        Self {
            call: Invocation {
                tool: claim.tool,
                key: claim.key.clone(),
                fingerprint: claim.fingerprint,
                state: InvocationState::Dispatched,
                fence: 1,
                attempt: 1,
                wait: Duration::ZERO,
                response: None,
                error: None,
                created_at: Utc::now(),
            },
            may_repeat: claim.effect.may_repeat(),
            effect: claim.effect.as_str(),
            until: Instant::now() + claim.lease,
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn is_lost(&self) -> bool {
        self.call.state == InvocationState::Dispatched && self.left().is_zero()
    }

    /// Ends a try whose caller is gone.
    fn end_lost(&mut self) -> Option<LostTry> {
        if !self.is_lost() {
            return None;
        }
        self.call.state = if self.may_repeat {
            InvocationState::Retryable
        } else {
            InvocationState::Unknown
        };
        self.call.error = Some(StoredError::new(OWNER_LOST, "the owner is gone"));
        Some(LostTry {
            tool: self.call.tool,
            name: None,
            key: self.call.key.clone(),
            effect: self.effect.to_owned(),
            state: self.call.state,
            attempt: self.call.attempt,
            caller: None,
            request: None,
        })
    }

    /// As a reader sees it.
    fn seen(&self) -> Invocation {
        let mut call = self.call.clone();
        if self.is_lost() && !self.may_repeat {
            call.state = InvocationState::Unknown;
        }
        call.wait = match call.state {
            InvocationState::Dispatched | InvocationState::Retryable => self.left(),
            _ => Duration::ZERO,
        };
        call
    }

    fn claim(&mut self, claim: &Claim) -> Claimed {
        let left = self.left();
        match self.call.state {
            InvocationState::Failed | InvocationState::Succeeded => Claimed::Settled,
            InvocationState::Unknown => Claimed::Unknown,
            InvocationState::Dispatched if !left.is_zero() => Claimed::InFlight(left),
            InvocationState::Retryable if !left.is_zero() => Claimed::NotDue(left),
            InvocationState::Dispatched | InvocationState::Retryable => {
                self.call.state = InvocationState::Dispatched;
                self.call.fence += 1;
                self.call.attempt += 1;
                self.call.error = None;
                self.until = Instant::now() + claim.lease;
                self.execute()
            }
        }
    }

    fn owner_was_lost(&self) -> bool {
        let error = self.call.error.as_ref();
        error.is_some_and(|error| error.code == OWNER_LOST)
    }

    fn execute(&self) -> Claimed {
        Claimed::Execute {
            fence: self.call.fence,
            attempt: self.call.attempt,
            may_repeat: self.may_repeat,
        }
    }

    fn settle(&mut self, state: InvocationState, kept: Kept) {
        self.call.state = state;
        self.call.response = kept.response;
        self.call.error = kept.error;
        self.until = Instant::now() + kept.wait;
    }
}

struct Kept {
    response: Option<StoredResponse>,
    error: Option<StoredError>,
    wait: Duration,
}

impl Kept {
    fn of(outcome: &Outcome, may_repeat: bool) -> (InvocationState, Self) {
        let kept = |response: Option<&StoredResponse>, error: Option<&StoredError>, wait| Self {
            response: response.cloned(),
            error: error.cloned(),
            wait,
        };
        match outcome {
            Outcome::Ambiguous(error, wait) if may_repeat => {
                (InvocationState::Retryable, kept(None, Some(error), *wait))
            }
            Outcome::Ambiguous(error, _) => (
                InvocationState::Unknown,
                kept(None, Some(error), Duration::ZERO),
            ),
            Outcome::NotExecuted(error, wait) => {
                (InvocationState::Retryable, kept(None, Some(error), *wait))
            }
            Outcome::Failed(error, response) => {
                let kept = kept(response.as_ref(), Some(error), Duration::ZERO);
                (InvocationState::Failed, kept)
            }
            Outcome::Succeeded(response) => (
                InvocationState::Succeeded,
                kept(Some(response), None, Duration::ZERO),
            ),
        }
    }
}

#[async_trait]
impl InvocationStore for MemoryInvocations {
    async fn find(
        &self,
        ctx: &TenantCtx,
        tool: ToolId,
        key: &IdempotencyKey,
    ) -> Result<Option<Invocation>, Error> {
        let key = (ctx.tenant(), tool, key.clone());
        Ok(self.rows().get(&key).map(Row::seen))
    }

    async fn find_in(
        &self,
        tx: &mut TenantTx,
        tool: ToolId,
        key: &IdempotencyKey,
    ) -> Result<Option<Invocation>, Error> {
        let ctx = tx.ctx().clone();
        self.find(&ctx, tool, key).await
    }

    async fn claim(&self, ctx: &TenantCtx, claim: &Claim) -> Result<Claimed, Error> {
        let key = (ctx.tenant(), claim.tool, claim.key.clone());
        let (lost, answer) = {
            let mut rows = self.rows();
            match rows.get_mut(&key) {
                Some(row) if row.call.fingerprint == claim.fingerprint => {
                    (row.end_lost(), row.claim(claim))
                }
                Some(_) => (None, Claimed::Conflict),
                None => {
                    let row = Row::new(claim);
                    let answer = row.execute();
                    rows.insert(key, row);
                    (None, answer)
                }
            }
        };
        self.record(ctx, lost).await?;
        Ok(answer)
    }

    async fn complete(
        &self,
        ctx: &TenantCtx,
        completion: &Completion,
        event: Event,
    ) -> Result<Completed, Error> {
        let key = (ctx.tenant(), completion.tool, completion.key.clone());
        let state = {
            let mut rows = self.rows();
            let Some(row) = rows.get_mut(&key) else {
                return Ok(Completed::Stale);
            };
            let (state, kept) = Kept::of(&completion.outcome, row.may_repeat);
            let open = match row.call.state {
                InvocationState::Dispatched => true,
                InvocationState::Unknown => state.is_settled(),
                InvocationState::Retryable => state.is_settled() && row.owner_was_lost(),
                _ => false,
            };
            if row.call.fence != completion.fence || !open {
                return Ok(Completed::Stale);
            }
            row.settle(state, kept);
            state
        };
        self.audit.record(ctx, event).await?;
        Ok(Completed::Recorded(state))
    }

    async fn resolve(
        &self,
        ctx: &TenantCtx,
        tool: ToolId,
        key: &IdempotencyKey,
        outcome: &Outcome,
        event: Event,
    ) -> Result<bool, Error> {
        let lost = {
            let mut rows = self.rows();
            let Some(row) = rows.get_mut(&(ctx.tenant(), tool, key.clone())) else {
                return Ok(false);
            };
            if row.seen().state != InvocationState::Unknown {
                return Ok(false);
            }
            let lost = row.end_lost();
            let (state, kept) = Kept::of(outcome, row.may_repeat);
            if !state.is_settled() {
                return Ok(false);
            }
            row.call.fence += 1;
            row.settle(state, kept);
            lost
        };
        self.record(ctx, lost).await?;
        self.audit.record(ctx, event).await?;
        Ok(true)
    }

    async fn unknown(&self, ctx: &TenantCtx, limit: u16) -> Result<Vec<Invocation>, Error> {
        let rows = self.rows();
        let mine = rows
            .iter()
            .filter(|((tenant, _, _), _)| *tenant == ctx.tenant());
        let mut unknown: Vec<_> = mine
            .map(|(_, row)| row.seen())
            .filter(|call| call.state == InvocationState::Unknown)
            .collect();
        unknown.sort_by_key(|call| call.created_at);
        unknown.truncate(usize::from(limit));
        Ok(unknown)
    }

    async fn end_lost(&self, ctx: &TenantCtx, limit: u16) -> Result<u64, Error> {
        let lost: Vec<_> = {
            let mut rows = self.rows();
            let mine = rows
                .iter_mut()
                .filter(|((tenant, _, _), row)| *tenant == ctx.tenant() && row.is_lost());
            let mut mine: Vec<_> = mine.map(|(_, row)| row).collect();
            mine.sort_by_key(|row| row.until);
            let oldest = mine.into_iter().take(limit.into());
            oldest.filter_map(Row::end_lost).collect()
        };
        let ended = lost.len() as u64;
        self.record(ctx, lost).await?;
        Ok(ended)
    }
}
