//! The life of a tenant.

use std::sync::Arc;

use crate::{
    Access, AuditSink, Authorizer, AuthorizerExt as _, Error, Event, MyTenant, NewTenant, PgStore,
    Principal, RoleDirectory, Suspension, Tenant, TenantCtx, TenantDb, TenantId, TenantStatus,
    TenantStore, UserId, perm,
};

/// Creates tenants and moves them through their lives.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, Error, NewTenant, RoleDirectory, Slug, TenantDb, TenantName, Tenants, UserId};
/// # async fn run(db: TenantDb, roles: Arc<dyn RoleDirectory>, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>) -> Result<(), Error> {
/// let tenants = Tenants::new(db.clone(), authorizer, roles, audit);
/// let owner = UserId::new();
/// let ctx = tenants
///     .create(NewTenant::new(Slug::parse("acme")?, TenantName::parse("Acme")?, owner))
///     .await?;
/// assert_eq!(ctx.user(), Some(owner));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Tenants {
    db: TenantDb,
    store: Arc<dyn TenantStore>,
    authorizer: Arc<dyn Authorizer>,
    roles: Arc<dyn RoleDirectory>,
    audit: Arc<dyn AuditSink>,
}

impl Tenants {
    /// Puts the service together, on Postgres.
    pub fn new(
        db: TenantDb,
        authorizer: Arc<dyn Authorizer>,
        roles: Arc<dyn RoleDirectory>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        let store = Arc::new(PgStore::new(db.clone()));
        Self {
            db,
            store,
            authorizer,
            roles,
            audit,
        }
    }

    /// Creates a tenant with its slug, default roles, first owner and audit entry: all or nothing.
    ///
    /// Whether the owner may create one is for the host to decide: there is no tenant yet whose
    /// permissions could say so.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) with the code `slug_taken` or `tenant_exists`.
    pub async fn create(&self, tenant: NewTenant) -> Result<TenantCtx, Error> {
        let ctx = TenantCtx::proven(tenant.id, Principal::user(tenant.owner), Access::ReadWrite);
        let mut tx = self.db.write(&ctx).await?;
        self.store.create_in(&mut tx, &tenant).await?;
        self.roles.seed_in(&mut tx, tenant.owner).await?;
        let event = Event::new("tenant.created")
            .target("tenant", tenant.id)
            .meta("slug", tenant.slug.as_str())
            .meta("name", tenant.name.as_str());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(ctx)
    }

    /// The tenant of the context.
    pub async fn get(&self, ctx: &TenantCtx) -> Result<Tenant, Error> {
        self.store.get_in(&mut self.db.read(ctx).await?).await
    }

    /// The tenants a user is an active member of, by name; at most 1,000. Needs no context.
    pub async fn of(&self, user: UserId) -> Result<Vec<MyTenant>, Error> {
        self.store.for_user(user).await
    }

    /// The tenant that has this slug. It tells that a tenant exists: ask it for routing, and
    /// answer an outsider as [`TenantDb::enter`] does.
    pub async fn by_slug(&self, slug: &str) -> Result<Option<TenantId>, Error> {
        self.store.by_slug(slug).await
    }

    /// Suspends an active tenant: read-only, or closed to everybody.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `tenant.manage`;
    /// [`Conflict`](crate::ErrorKind::Conflict) if the tenant is not active.
    pub async fn suspend(&self, ctx: &TenantCtx, how: Suspension) -> Result<(), Error> {
        let to = match how {
            Suspension::ReadOnly => TenantStatus::SuspendedReadOnly,
            Suspension::Blocked => TenantStatus::SuspendedBlocked,
        };
        self.transition(ctx, TenantStatus::Active, to, "tenant.suspended")
            .await
    }

    /// Opens a suspended tenant again. A blocked tenant can be entered by nobody, so whoever
    /// suspended it keeps the context, or a service enters the read-only one.
    ///
    /// # Errors
    /// As [`suspend`](Self::suspend).
    pub async fn resume(&self, ctx: &TenantCtx, from: TenantStatus) -> Result<(), Error> {
        self.transition(ctx, from, TenantStatus::Active, "tenant.resumed")
            .await
    }

    async fn transition(
        &self,
        ctx: &TenantCtx,
        from: TenantStatus,
        to: TenantStatus,
        action: &'static str,
    ) -> Result<(), Error> {
        self.authorizer
            .require(ctx, perm::TenantManage::get())
            .await?;
        let mut tx = self.db.aside(ctx).await?;
        self.store.set_status_in(&mut tx, from, to).await?;
        let event = Event::new(action)
            .target("tenant", ctx.tenant())
            .meta("from", from.as_str())
            .meta("to", to.as_str());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenants").finish_non_exhaustive()
    }
}
