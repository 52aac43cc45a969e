//! Puts what templates did to roles into the audit log.

use serde_json::Value;
use tenancy_core::{
    AuditSink, ErrorKind as CoreKind, Event, OperatorDb, ServiceKey, TenantDb, TenantId, TenantTx,
};

use super::db;
use crate::Error;

/// The name that these entries bear.
const SERVICE: ServiceKey = ServiceKey::from_static("role_templates");
/// Tenants asked for at a time, and entries of one transaction.
const PAGE: i32 = 500;

/// Role, version of its template, what came of it, before and after.
type UpgradeRow = (String, i32, String, Option<Value>, Option<Value>);

/// Puts every upgrade of a role by its template that is not there yet into its tenant's audit log, with
/// how the role was before and is after; answers how many. After [`sync_roles`](crate::sync_roles), by
/// whoever ran that: bringing tenants up to date happens outside of every tenant, and an entry is written
/// inside of one.
///
/// The entry and the note that it is written are one transaction: each is there once, whoever is cut off and
/// runs it again, and two at once share the work. A tenant that is closed is left for later.
///
/// Before and after are cut to what an entry takes, with the number of all there are. A tenant whose entries
/// can't be written, for whatever reason but that nothing can be reached, stops no other.
///
/// # Errors
/// What the database or the audit log failed with, of the first tenant if they did in several; what could be
/// recorded is.
pub async fn record_upgrades(
    operator: &OperatorDb,
    app: &TenantDb,
    audit: &dyn AuditSink,
) -> Result<u64, Error> {
    let (mut recorded, mut after, mut failed) = (0, None, None);
    loop {
        let mut tx = operator.owner().await.map_err(Error::from)?;
        let tenants: Vec<TenantId> = sqlx::query_scalar(include_str!("sql/upgrades_tenants.sql"))
            .bind(after)
            .bind(PAGE)
            .fetch_all(&mut *tx)
            .await
            .map_err(db)?;
        tx.rollback().await.map_err(db)?;
        for tenant in &tenants {
            match record_in_tenant(app, *tenant, audit).await {
                Ok(count) => recorded += count,
                // It was closed a moment ago.
                Err(error) if is_closed(&error) => {}
                Err(error) if is_down(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(%error, %tenant, "what templates did to roles could not be recorded");
                    failed.get_or_insert(error);
                }
            }
        }
        match tenants.last() {
            Some(last) => after = Some(*last),
            None => return failed.map_or(Ok(recorded), Err),
        }
    }
}

fn is_down(error: &Error) -> bool {
    error.kind() == crate::ErrorKind::Core(CoreKind::Unavailable)
        || error.kind() == crate::ErrorKind::Unavailable
}

fn is_closed(error: &Error) -> bool {
    let kind = error.kind();
    [CoreKind::NotAMember, CoreKind::Suspended]
        .map(crate::ErrorKind::Core)
        .contains(&kind)
}

async fn record_in_tenant(
    app: &TenantDb,
    tenant: TenantId,
    audit: &dyn AuditSink,
) -> Result<u64, Error> {
    let ctx = app.enter_system(tenant, SERVICE, Vec::new()).await?;
    let mut recorded = 0;
    loop {
        let mut tx = app.write(&ctx).await?;
        let some = record_some(&mut tx, audit).await?;
        tx.commit().await?;
        if some == 0 {
            return Ok(recorded);
        }
        recorded += some;
    }
}

async fn record_some(tx: &mut TenantTx, audit: &dyn AuditSink) -> Result<u64, Error> {
    let rows: Vec<UpgradeRow> = sqlx::query_as(include_str!("sql/upgrades_take.sql"))
        .bind(PAGE)
        .fetch_all(&mut **tx)
        .await
        .map_err(db)?;
    let count = rows.len() as u64;
    for (role, version, outcome, before, after) in rows {
        let event = Event::new("role.template_followed")
            .target("role", role)
            .meta("version", version)
            .meta("outcome", outcome)
            .meta("before", before)
            .meta("after", after);
        audit.record_in(tx, event).await?;
    }
    Ok(count)
}
