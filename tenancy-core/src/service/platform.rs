//! What the platform decides about a tenant, and no tenant about itself.

use std::sync::Arc;

use crate::{
    Access, AuditSink, Error, ErrorKind, Event, Limit, PgStore, Principal, ServiceKey,
    SettingStore, TenantCtx, TenantDb, TenantId, UserId,
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
    pub(super) settings: Arc<dyn SettingStore>,
    pub(super) audit: Arc<dyn AuditSink>,
    principal: Principal,
}

impl Platform {
    /// Acts as this part of the host.
    pub fn new(db: TenantDb, service: ServiceKey, audit: Arc<dyn AuditSink>) -> Self {
        let settings = Arc::new(PgStore::new(db.clone()));
        Self {
            db,
            settings,
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
