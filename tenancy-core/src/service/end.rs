//! The end of a tenant: what it takes with it, and what is left.

use std::sync::Arc;

use tokio::io::AsyncWrite;

use super::platform::Platform;
use crate::{
    AuditSink, Authorizer, AuthorizerExt as _, DeletionCertificate, Error, Event, ExportOptions,
    ExportSummary, OperatorDb, PurgeOptions, TenantCtx, TenantId, perm,
    postgres::tenant_rows::{self, begin, can_remove_rows, finish, remove_rows},
};

/// Exports everything a tenant has, for its own members.
///
/// The rows come from one snapshot, of every table that holds tenants' rows, the host's protected
/// ones included, as lines of JSON: first the manifest (tables, columns, what is left out and
/// why), then a row a line, last the counts and a SHA-256 of all before
/// ([`ExportSummary::check`]). Tables come by name, rows by primary key. It is streamed: however
/// much there is, one row and a buffer of 64 KiB are in memory.
///
/// It reads as the owner of the family's tables in the tenant's context, so that row-level
/// security keeps other tenants out and no narrower policy of a reader hides rows. A tenant table
/// that is not protected is an error, not a gap.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, Error, Exports, OperatorDb, TenantCtx};
/// # async fn run(operator: OperatorDb, ctx: TenantCtx, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>)
/// # -> Result<(), Error> {
/// let exports = Exports::new(operator, authorizer, audit);
/// let mut file = Vec::new();
/// let summary = exports.export(&ctx, &mut file).await?;
/// assert_eq!(tenancy_core::ExportSummary::check(file.as_slice())?, summary);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Exports {
    operator: OperatorDb,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    options: ExportOptions,
}

impl Exports {
    /// Puts the service together.
    pub fn new(
        operator: OperatorDb,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        Self {
            operator,
            authorizer,
            audit,
            options: ExportOptions::default(),
        }
    }

    /// Says what is left out.
    pub fn with_options(mut self, options: ExportOptions) -> Self {
        self.options = options;
        self
    }

    /// Writes everything the context's tenant has.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `tenant.export`;
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) `table_not_protected`;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) `export_sink`, also where nobody takes what is
    /// written; [`Limit`](crate::ErrorKind::Limit) `export_too_long`. What was written before an error
    /// lacks its last line.
    pub async fn export<W: AsyncWrite + Send + Unpin>(
        &self,
        ctx: &TenantCtx,
        out: &mut W,
    ) -> Result<ExportSummary, Error> {
        self.authorizer
            .require(ctx, perm::TenantExport::get())
            .await?;
        audited(&self.operator, &*self.audit, ctx, &self.options, out).await
    }
}

/// An export leaves two entries: one before the first byte, so that one that is cut off is known
/// too, and one with what it held.
async fn audited<W: AsyncWrite + Send + Unpin>(
    operator: &OperatorDb,
    audit: &dyn AuditSink,
    ctx: &TenantCtx,
    options: &ExportOptions,
    out: &mut W,
) -> Result<ExportSummary, Error> {
    let event = |action: &str| Event::new(action).target("tenant", ctx.tenant());
    audit.record(ctx, event("tenant.export_started")).await?;
    let summary = tenant_rows::export(operator, ctx.tenant(), options, out).await?;
    let exported = event("tenant.exported")
        .meta("rows", summary.total())
        .meta("bytes", summary.bytes)
        .meta("sha256", summary.sha256.clone());
    audit.record(ctx, exported).await?;
    Ok(summary)
}

impl Platform {
    /// Writes everything a tenant has, in whatever state it is: see [`Exports`].
    ///
    /// # Errors
    /// As [`Exports::export`], but for the permission.
    pub async fn export<W: AsyncWrite + Send + Unpin>(
        &self,
        operator: &OperatorDb,
        tenant: TenantId,
        options: &ExportOptions,
        out: &mut W,
    ) -> Result<ExportSummary, Error> {
        let ctx = self.inside(tenant).await?;
        audited(operator, &*self.audit, &ctx, options, out).await
    }

    /// Removes everything of a tenant whose deletion is due, and leaves a tombstone without a
    /// name. The audit log stays: its entries outlive the tenant.
    ///
    /// Rows go table by table, those that refer to others first, in transactions of a bounded
    /// size. A process that is killed has lost nothing but its last transaction: run it again. It
    /// removes as the owner of the family's tables in the tenant's context, so that row-level
    /// security keeps other tenants' rows out of reach. A tenant that is deleted already gets its
    /// certificate again; rows that somebody wrote afterwards, with a context from before, go and are
    /// counted in it.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) `legal_hold`, also in the middle of the work,
    /// `grace_not_over` or `deletion_not_scheduled`;
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) `table_not_protected`.
    pub async fn purge(
        &self,
        operator: &OperatorDb,
        tenant: TenantId,
        options: &PurgeOptions,
    ) -> Result<DeletionCertificate, Error> {
        let ctx = self.inside(tenant).await?;
        can_remove_rows(operator, tenant).await?;
        let mut tx = self.db.write(&ctx).await?;
        if begin(&mut tx, options.force, &self.name()).await? {
            let event = self
                .lifecycle
                .event(&tx, "tenant.purge_started")
                .meta("forced", options.force);
            self.audit.record_in(&mut tx, event).await?;
        }
        tx.commit().await?;
        let removed = remove_rows(operator, tenant, options).await?;
        let mut tx = self.db.write(&ctx).await?;
        let (certificate, now) = finish(&mut tx, options).await?;
        if now || removed > 0 {
            let event = self
                .lifecycle
                .event(&tx, "tenant.purged")
                .meta("rows", certificate.total())
                .meta("tables", serde_json::json!(certificate.rows))
                .meta("started_by", certificate.started_by.clone());
            self.audit.record_in(&mut tx, event).await?;
        }
        tx.commit().await?;
        Ok(certificate)
    }
}

impl std::fmt::Debug for Exports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exports").finish_non_exhaustive()
    }
}
