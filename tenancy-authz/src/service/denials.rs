//! Puts denials on record.

use std::{sync::Arc, time::Duration};

use tenancy_core::{AuditSink, DenyReason, Event, Outcome, PermissionKey, RoleKey, TenantCtx};

use super::folds::{Counted, Fold, Folds, Same};

/// How many of the missing permissions an entry names.
const MAX_NAMED: usize = 50;

/// Records each denial once, outside of the transaction that it ends.
#[derive(Clone)]
pub(crate) struct Denials {
    audit: Arc<dyn AuditSink>,
    folds: Arc<Folds>,
}

impl Denials {
    pub(crate) fn new(audit: Arc<dyn AuditSink>, window: Duration) -> Self {
        let folds = Arc::new(Folds::new(window));
        Self { audit, folds }
    }

    /// Permissions were asked for and are not held.
    pub(crate) async fn missing(
        &self,
        ctx: &TenantCtx,
        missing: &[PermissionKey],
        reason: DenyReason,
    ) {
        metrics::counter!("tenancy_denials_total").increment(1);
        match self.folds.count(ctx, missing, reason) {
            Counted::Alone => {}
            Counted::Folded => return,
            Counted::Opened(same) => self.close_later(same),
        }
        self.record(ctx, lacking(missing, reason), 1).await;
    }

    /// Somebody tried to give or take more than he holds.
    pub(crate) async fn exceeded(&self, ctx: &TenantCtx, roles: &[RoleKey], message: &str) {
        metrics::counter!("tenancy_denials_total").increment(1);
        let event = roles
            .iter()
            .fold(denied("exceeds_own_permissions"), |event, role| {
                event.target("role", role)
            })
            .meta("message", message);
        self.record(ctx, event, 1).await;
    }

    /// Records what was counted and not recorded.
    pub(crate) async fn flush(&self) {
        for fold in self.folds.take() {
            self.record_fold(fold).await;
        }
    }

    fn close_later(&self, same: Same) {
        let denials = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(denials.folds.window()).await;
            if let Some(fold) = denials.folds.close(&same) {
                denials.record_fold(fold).await;
            }
        });
    }

    async fn record_fold(&self, fold: Fold) {
        let event = lacking(&fold.missing, fold.reason).meta("count", fold.count);
        self.record(&fold.ctx, event, fold.count).await;
    }

    /// Records in a task of its own: whoever hangs up on being denied is on record all the same.
    async fn record(&self, ctx: &TenantCtx, event: Event, denials: u64) {
        let (audit, ctx) = (self.audit.clone(), ctx.clone());
        let recording = tokio::spawn(async move {
            if let Err(error) = audit.record(&ctx, event).await {
                lost(denials);
                tracing::error!(
                    %error, denials, tenant = %ctx.tenant(), request = %ctx.request_id(),
                    "a denial could not be recorded"
                );
            }
        });
        if recording.await.is_err() {
            lost(denials);
            tracing::error!(denials, "the task that records a denial did not end");
        }
    }
}

/// Counts denials that are not on record: each of them, also where one entry would have told of many.
fn lost(denials: u64) {
    metrics::counter!("tenancy_denials_unrecorded_total").increment(denials);
}

fn lacking(missing: &[PermissionKey], reason: DenyReason) -> Event {
    let named = missing.iter().take(MAX_NAMED);
    named.fold(denied(reason.as_str()), |event, permission| {
        event.target("permission", permission)
    })
}

fn denied(reason: &str) -> Event {
    Event::new("access.denied")
        .outcome(Outcome::Denied)
        .meta("reason", reason)
}
