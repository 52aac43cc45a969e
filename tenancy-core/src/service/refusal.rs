//! Refusals that no permission decides, put on record.

use crate::{AuditSink, Error, ErrorKind, Event, Outcome, TenantCtx};

/// Hands an error on, after recording it if it is a denial that nobody has recorded yet.
///
/// Like the authorizer's, it is recorded outside of the transaction that was refused, and stands
/// where it can't be recorded.
pub(super) async fn recorded(
    audit: &dyn AuditSink,
    ctx: &TenantCtx,
    attempt: Event,
    error: Error,
) -> Error {
    if error.kind() != ErrorKind::Denied || error.is_on_record() {
        return error;
    }
    let event = attempt
        .outcome(Outcome::Denied)
        .meta("reason", error.code());
    match audit.record(ctx, event).await {
        Ok(()) => error.on_record(),
        Err(unrecorded) => {
            metrics::counter!("tenancy_denials_unrecorded_total").increment(1);
            tracing::error!(error = %unrecorded, tenant = %ctx.tenant(), "a denial could not be recorded");
            error
        }
    }
}
