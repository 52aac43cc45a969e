//! The steps of a tenant's life, for the tenant itself and for the platform alike.

use std::sync::Arc;

use super::refusal::recorded;
use crate::{
    AuditSink, Error, ErrorKind, Event, Grace, HoldReference, Reason, Suspension, TenantState,
    TenantStatus, TenantStore, TenantTx, Transition,
};

/// A step from one state to another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Suspend(Suspension),
    Resume,
    ScheduleDeletion(Grace),
    CancelDeletion,
}

impl Step {
    fn action(self) -> &'static str {
        match self {
            Self::Suspend(_) => "tenant.suspended",
            Self::Resume => "tenant.resumed",
            Self::ScheduleDeletion(_) => "tenant.deletion_scheduled",
            Self::CancelDeletion => "tenant.deletion_cancelled",
        }
    }

    /// Where it leads from here, if it starts here.
    fn target(self, state: &TenantState) -> Option<TenantStatus> {
        let deleting = state.status == TenantStatus::Deleting;
        match self {
            Self::Suspend(how) => (!deleting).then(|| how.into()),
            Self::Resume => (!deleting).then_some(TenantStatus::Active),
            Self::ScheduleDeletion(_) => Some(TenantStatus::Deleting),
            Self::CancelDeletion => state.before,
        }
    }
}

/// Does steps, each with its audit entry in one transaction.
#[derive(Clone)]
pub(super) struct Lifecycle {
    store: Arc<dyn TenantStore>,
    audit: Arc<dyn AuditSink>,
    reason: Option<Reason>,
}

impl Lifecycle {
    pub(super) fn new(store: Arc<dyn TenantStore>, audit: Arc<dyn AuditSink>) -> Self {
        Self {
            store,
            audit,
            reason: None,
        }
    }

    pub(super) fn because(&self, reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..self.clone()
        }
    }

    pub(super) async fn state(&self, tx: &mut TenantTx) -> Result<TenantState, Error> {
        self.store.state_in(tx).await
    }

    /// Takes a step from the state that the caller saw, or from the one it is in now, and commits.
    pub(super) async fn take(
        &self,
        mut tx: TenantTx,
        seen: Option<TenantStatus>,
        step: Step,
    ) -> Result<(), Error> {
        let state = self.store.state_in(&mut tx).await?;
        let from = seen.unwrap_or(state.status);
        let to = step
            .target(&state)
            .filter(|to| from != state.status || from.may_become(*to))
            .ok_or_else(|| refused(step, state.status))?;
        let grace = match step {
            Step::ScheduleDeletion(grace) => grace,
            _ => Grace::NONE,
        };
        let transition = Transition {
            from,
            to,
            reason: self.reason.clone(),
            grace,
        };
        let mut event = self
            .event(&tx, step.action())
            .meta("from", from.as_str())
            .meta("to", to.as_str());
        if let Err(error) = self.store.move_in(&mut tx, &transition).await {
            return Err(recorded(&*self.audit, tx.ctx(), event, error).await);
        }
        if to == TenantStatus::Deleting {
            event = event.meta("grace_seconds", grace.as_duration().as_secs());
        }
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    /// Places or releases a hold, and commits.
    pub(super) async fn hold(
        &self,
        mut tx: TenantTx,
        reference: &HoldReference,
        place: bool,
    ) -> Result<bool, Error> {
        if !self.store.hold_in(&mut tx, reference, place).await? {
            return Ok(false);
        }
        let action = if place {
            "tenant.hold_placed"
        } else {
            "tenant.hold_released"
        };
        let event = self
            .event(&tx, action)
            .meta("reference", reference.as_str());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// An event about the transaction's tenant, with the reason if there is one.
    pub(super) fn event(&self, tx: &TenantTx, action: &'static str) -> Event {
        let event = Event::new(action).target("tenant", tx.ctx().tenant());
        match &self.reason {
            Some(reason) => event.meta("reason", reason.as_str()),
            None => event,
        }
    }
}

fn refused(step: Step, status: TenantStatus) -> Error {
    let action = step.action();
    let message = format!("`{action}` does not start at `{}`", status.as_str());
    Error::new(ErrorKind::Conflict, "transition_refused", message)
}
