//! How much a tenant may store.

use std::sync::Arc;

use tenancy_core::{
    Actor, AuditSink, Authorizer, AuthorizerExt as _, Error as CoreError, ErrorKind as CoreKind,
    Event, Outcome, TenantCtx, TenantDb,
};

use super::perm;
use crate::{Error, IngestionStore, Limits, PgKnowledgeBase, Quota};

/// Shows a tenant's quota, and lets the host change it.
///
/// A tenant's own administrators hold every permission in it, and yet must not raise what their
/// plan allows: so limits are set by a service of the host only
/// ([`enter_system`](TenantDb::enter_system)).
#[derive(Clone)]
pub struct Quotas {
    db: TenantDb,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
    store: Arc<dyn IngestionStore>,
    defaults: Limits,
}

impl Quotas {
    /// Puts the service together, on Postgres; `defaults` for tenants without limits of their own,
    /// the same as the [`Ingestor`](crate::Ingestor)'s.
    pub fn new(
        db: TenantDb,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
        defaults: Limits,
    ) -> Self {
        Self {
            db,
            authorizer,
            audit,
            store: Arc::new(PgKnowledgeBase::new()),
            defaults,
        }
    }

    /// The tenant's limits and what is used of them. Needs `kb.write`.
    pub async fn get(&self, ctx: &TenantCtx) -> Result<Quota, Error> {
        self.authorizer.require(ctx, perm::KbWrite::get()).await?;
        self.store
            .quota_in(&mut self.db.read(ctx).await?, self.defaults)
            .await
    }

    /// Sets the tenant's limits. What is stored already stays. For services with `kb.manage` only.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) for anybody else; recorded.
    pub async fn set(&self, ctx: &TenantCtx, limits: Limits) -> Result<(), Error> {
        if !matches!(ctx.principal().actor, Actor::Service { .. }) {
            let event = Event::new("kb.quota.changed").outcome(Outcome::Denied);
            self.audit.record(ctx, event).await?;
            let message = "only a service of the host may set a quota";
            return Err(CoreError::new(CoreKind::Denied, "quota_denied", message).into());
        }
        self.authorizer.require(ctx, perm::KbManage::get()).await?;
        let mut tx = self.db.write(ctx).await?;
        self.store.set_limits_in(&mut tx, limits).await?;
        let event = Event::new("kb.quota.changed")
            .meta("bytes", limits.bytes)
            .meta("docs", limits.docs)
            .meta("chunks", limits.chunks);
        self.audit.record_in(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }
}

impl std::fmt::Debug for Quotas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quotas")
            .field("defaults", &self.defaults)
            .finish_non_exhaustive()
    }
}
