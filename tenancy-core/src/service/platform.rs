//! What the platform decides about a tenant, and no tenant about itself.

use std::sync::Arc;

use super::lifecycle::{Lifecycle, Step};
use crate::{
    Access, AuditSink, Error, ErrorKind, Event, Grace, HoldReference, Limit, PgStore, Principal,
    Reason, ServiceKey, SettingStore, Suspension, TenantCtx, TenantDb, TenantId, TenantState,
    UserId,
};

/// The platform's hand on tenants: limits and states, also of a tenant that nobody can enter.
///
/// It acts as a part of the host, named in every audit entry, with the operator's user where there
/// is one. The context it acts in never leaves it, so that reaching a blocked tenant's state does
/// not open its data. Who may use it is for the host to decide: keep it behind the doors of your
/// own staff.
///
/// ```no_run
/// # use std::sync::Arc;
/// # async fn run(db: tenancy_core::TenantDb, audit: Arc<dyn tenancy_core::AuditSink>,
/// #     tenant: tenancy_core::TenantId, me: tenancy_core::UserId) -> Result<(), tenancy_core::Error> {
/// use tenancy_core::{Platform, ServiceKey, limit};
///
/// let platform = Platform::new(db, ServiceKey::from_static("billing"), audit);
/// platform
///     .on_behalf_of(me)
///     .set_limit(tenant, &limit::PENDING_INVITATIONS, 500)
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Platform {
    pub(super) db: TenantDb,
    settings: Arc<dyn SettingStore>,
    pub(super) audit: Arc<dyn AuditSink>,
    pub(super) lifecycle: Lifecycle,
    principal: Principal,
}

impl Platform {
    /// Acts as this part of the host.
    pub fn new(db: TenantDb, service: ServiceKey, audit: Arc<dyn AuditSink>) -> Self {
        let store = Arc::new(PgStore::new(db.clone()));
        Self {
            db,
            lifecycle: Lifecycle::new(store.clone(), audit.clone()),
            settings: store,
            audit,
            principal: Principal::service(service, Vec::new()),
        }
    }

    /// The same, with the person in the audit entries who asked for it.
    pub fn on_behalf_of(&self, user: UserId) -> Self {
        Self {
            principal: self.principal.clone().on_behalf_of(user),
            ..self.clone()
        }
    }

    /// The same, giving this reason for what it does.
    pub fn because(&self, reason: Reason) -> Self {
        Self {
            lifecycle: self.lifecycle.because(reason),
            ..self.clone()
        }
    }

    /// Who acts, for the certificate of a deletion.
    pub(super) fn name(&self) -> String {
        let service = self.principal.actor.id();
        match self.principal.on_behalf_of {
            Some(user) => format!("{service} for {user}"),
            None => service,
        }
    }

    /// A context in a tenant of any state. Must not leave this service.
    pub(super) async fn inside(&self, tenant: TenantId) -> Result<TenantCtx, Error> {
        if self.db.tenant_status(tenant).await?.is_none() {
            return Err(Error::new(
                ErrorKind::NotFound,
                "tenant_unknown",
                "there is no such tenant",
            ));
        }
        let principal = self.principal.clone();
        Ok(TenantCtx::proven(tenant, principal, Access::ReadWrite))
    }

    /// Where a tenant is in its life, and why.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) `tenant_unknown`, as for everything here.
    pub async fn state(&self, tenant: TenantId) -> Result<TenantState, Error> {
        let ctx = self.inside(tenant).await?;
        self.lifecycle.state(&mut self.db.read(&ctx).await?).await
    }

    /// Suspends a tenant, or switches between the ways of it. Its members can't undo that.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `transition_refused` if it is suspended so already or is
    /// to be deleted, and `stale` if somebody else moved it at this moment.
    pub async fn suspend(&self, tenant: TenantId, how: Suspension) -> Result<(), Error> {
        self.take(tenant, Step::Suspend(how)).await
    }

    /// Opens a suspended tenant, also one that nobody can enter.
    ///
    /// # Errors
    /// As [`suspend`](Self::suspend).
    pub async fn resume(&self, tenant: TenantId) -> Result<(), Error> {
        self.take(tenant, Step::Resume).await
    }

    /// Closes a tenant now and has it deleted after the period of grace.
    ///
    /// # Errors
    /// As [`suspend`](Self::suspend).
    pub async fn schedule_deletion(&self, tenant: TenantId, grace: Grace) -> Result<(), Error> {
        self.take(tenant, Step::ScheduleDeletion(grace)).await
    }

    /// Takes a deletion back: the tenant returns to the state it was in. Not once its rows are
    /// being removed.
    ///
    /// # Errors
    /// As [`suspend`](Self::suspend).
    pub async fn cancel_deletion(&self, tenant: TenantId) -> Result<(), Error> {
        self.take(tenant, Step::CancelDeletion).await
    }

    /// Places a legal hold: nothing of the tenant is purged, no person in it erased, and none of its slugs
    /// goes to somebody else, before each of its holds is released. `false` if this one stood already.
    pub async fn hold(&self, tenant: TenantId, reference: &HoldReference) -> Result<bool, Error> {
        let ctx = self.inside(tenant).await?;
        let tx = self.db.write(&ctx).await?;
        self.lifecycle.hold(tx, reference, true).await
    }

    /// Releases a legal hold. `false` if it did not stand.
    pub async fn release(
        &self,
        tenant: TenantId,
        reference: &HoldReference,
    ) -> Result<bool, Error> {
        let ctx = self.inside(tenant).await?;
        let tx = self.db.write(&ctx).await?;
        self.lifecycle.hold(tx, reference, false).await
    }

    async fn take(&self, tenant: TenantId, step: Step) -> Result<(), Error> {
        let ctx = self.inside(tenant).await?;
        let tx = self.db.write(&ctx).await?;
        self.lifecycle.take(tx, None, step).await
    }

    /// Sets a limit of a tenant.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) `limit_out_of_bounds`;
    /// [`NotFound`](ErrorKind::NotFound) `tenant_unknown`.
    pub async fn set_limit(
        &self,
        tenant: TenantId,
        limit: &Limit,
        value: u64,
    ) -> Result<(), Error> {
        self.change_limit(tenant, limit, Some(limit.write(value)?))
            .await
    }

    /// Goes back to the limit's default, whatever that will be.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) `tenant_unknown`.
    pub async fn reset_limit(&self, tenant: TenantId, limit: &Limit) -> Result<(), Error> {
        self.change_limit(tenant, limit, None).await
    }

    async fn change_limit(
        &self,
        tenant: TenantId,
        limit: &Limit,
        value: Option<i64>,
    ) -> Result<(), Error> {
        let ctx = self.inside(tenant).await?;
        let mut tx = self.db.write(&ctx).await?;
        self.settings
            .set_limit_in(&mut tx, limit.key(), value)
            .await?;
        let event = Event::new("limit.changed")
            .target("limit", limit.key())
            .meta("to", value);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").finish_non_exhaustive()
    }
}
