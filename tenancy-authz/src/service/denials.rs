//! Puts denials on record.

use std::sync::Arc;

use tenancy_core::{AuditSink, DenyReason, Event, Outcome, PermissionKey, RoleKey, TenantCtx};

/// Records each denial once, outside of the transaction that it ends.
#[derive(Clone)]
pub(crate) struct Denials {
    audit: Arc<dyn AuditSink>,
}

impl Denials {
    pub(crate) fn new(audit: Arc<dyn AuditSink>) -> Self {
        Self { audit }
    }

    /// A permission was asked for and is not held.
    pub(crate) async fn missing(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
        reason: DenyReason,
    ) {
        let event = denied(reason.as_str()).target("permission", permission);
        self.record(ctx, event).await;
    }

    /// Somebody tried to give or take more than he holds.
    pub(crate) async fn exceeded(&self, ctx: &TenantCtx, roles: &[RoleKey], message: &str) {
        let event = roles
            .iter()
            .fold(denied("exceeds_own_permissions"), |event, role| {
                event.target("role", role)
            })
            .meta("message", message);
        self.record(ctx, event).await;
    }

    /// Records in a task of its own: whoever hangs up on being denied is on record all the same.
    async fn record(&self, ctx: &TenantCtx, event: Event) {
        metrics::counter!("tenancy_denials_total").increment(1);
        let (audit, ctx) = (self.audit.clone(), ctx.clone());
        let recording = tokio::spawn(async move {
            if let Err(error) = audit.record(&ctx, event).await {
                metrics::counter!("tenancy_denials_unrecorded_total").increment(1);
                tracing::error!(
                    %error, tenant = %ctx.tenant(), request = %ctx.request_id(),
                    "a denial could not be recorded"
                );
            }
        });
        if recording.await.is_err() {
            metrics::counter!("tenancy_denials_unrecorded_total").increment(1);
            tracing::error!("the task that records a denial did not end");
        }
    }
}

fn denied(reason: &str) -> Event {
    Event::new("access.denied")
        .outcome(Outcome::Denied)
        .meta("reason", reason)
}
