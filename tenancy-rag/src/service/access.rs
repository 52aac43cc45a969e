//! Who may change which document.

use tenancy_core::{AuditSink, Authorizer, Event, Outcome, Permission as _, RoleKey, TenantTx};

use super::perm;
use crate::{Error, ErrorKind};

/// Lets through whoever may change a document with these readers: one of them, whoever holds
/// `kb.manage`, and services and API keys, which have no roles and are bounded by the permissions
/// they bring. A refusal is recorded.
pub(super) async fn require_writer(
    tx: &mut TenantTx,
    authorizer: &dyn Authorizer,
    audit: &dyn AuditSink,
    readers: &[RoleKey],
) -> Result<(), Error> {
    let ctx = tx.ctx().clone();
    if ctx.principal().actor.permissions().is_some() {
        return Ok(());
    }
    let roles = authorizer.roles_in(tx).await?;
    if readers.iter().any(|reader| roles.contains(reader)) {
        return Ok(());
    }
    if authorizer
        .check_in(tx, &perm::KbManage::KEY)
        .await?
        .is_allowed()
    {
        return Ok(());
    }
    let event = Event::new("kb.document.denied")
        .outcome(Outcome::Denied)
        .target("permission", perm::KbManage::KEY)
        .meta("reason", "not_a_reader");
    if let Err(error) = audit.record(&ctx, event).await {
        metrics::counter!("tenancy_denials_unrecorded_total").increment(1);
        tracing::error!(%error, tenant = %ctx.tenant(), "a denial could not be recorded");
    }
    let message = "the document is not one that you may read, and `kb.manage` is missing";
    Err(Error::new(ErrorKind::Denied, "document_denied", message))
}

/// Roles of either list, each once.
pub(super) fn united(left: &[RoleKey], right: &[RoleKey]) -> Vec<RoleKey> {
    let mut roles: Vec<RoleKey> = left.iter().chain(right).cloned().collect();
    roles.sort();
    roles.dedup();
    roles
}
