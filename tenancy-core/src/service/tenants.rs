//! The life of a tenant, as its own members lead it.

use std::{sync::Arc, time::Duration};

use super::lifecycle::{Lifecycle, Step};
use crate::{
    Access, AuditSink, Authorizer, AuthorizerExt as _, Error, ErrorKind, Event, Grace, MyTenant,
    MyTenantsPage, NewTenant, PgStore, Principal, Reason, RoleDirectory, Slug, SlugOwner,
    Suspension, Tenant, TenantCtx, TenantDb, TenantId, TenantName, TenantState, TenantStatus,
    TenantStore, UserId, perm,
};

/// How long a former slug is kept for its tenant, unless the host says otherwise.
const KEEP_SLUG: Duration = Duration::from_hours(30 * 24);

/// Creates tenants and moves them through their lives.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, Error, Grace, NewTenant, Reason, RoleDirectory, Slug, TenantDb, TenantName, Tenants, UserId};
/// # async fn run(db: TenantDb, roles: Arc<dyn RoleDirectory>, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>) -> Result<(), Error> {
/// let tenants = Tenants::new(db.clone(), authorizer, roles, audit);
/// let owner = UserId::new();
/// let ctx = tenants
///     .create(NewTenant::new(Slug::parse("acme")?, TenantName::parse("Acme")?, owner))
///     .await?;
/// assert_eq!(ctx.user(), Some(owner));
///
/// // Thirty days in which an owner can take it back.
/// let leaving = tenants.because(Reason::parse("closing the shop")?);
/// leaving.schedule_deletion(&ctx, Grace::default()).await?;
/// tenants.reopen(ctx.tenant(), owner).await?;
/// # Ok(()) }
/// ```
///
/// A state is changed by compare-and-set: of two that move a tenant at once, one gets
/// [`Conflict`](ErrorKind::Conflict) `stale`. What the platform has closed
/// ([`Platform`](crate::Platform)) its members can't open.
///
/// A context proves what held when it was made. A tenant that is suspended is closed to every
/// [`TenantDb::enter`] from then on; who keeps contexts for longer than a request enters anew
/// before each piece of work.
#[derive(Clone)]
pub struct Tenants {
    db: TenantDb,
    store: Arc<dyn TenantStore>,
    authorizer: Arc<dyn Authorizer>,
    roles: Arc<dyn RoleDirectory>,
    audit: Arc<dyn AuditSink>,
    lifecycle: Lifecycle,
    keep_slug: Duration,
}

impl Tenants {
    /// Puts the service together, on Postgres.
    pub fn new(
        db: TenantDb,
        authorizer: Arc<dyn Authorizer>,
        roles: Arc<dyn RoleDirectory>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        let store: Arc<dyn TenantStore> = Arc::new(PgStore::new(db.clone()));
        Self {
            lifecycle: Lifecycle::new(store.clone(), audit.clone()),
            db,
            store,
            authorizer,
            roles,
            audit,
            keep_slug: KEEP_SLUG,
        }
    }

    /// Keeps former slugs for this long, at most 365 days; 30 days by default.
    pub fn with_slugs_kept_for(mut self, period: Duration) -> Self {
        self.keep_slug = period.min(Duration::from_hours(365 * 24));
        self
    }

    /// The same, giving this reason for what it does.
    pub fn because(&self, reason: Reason) -> Self {
        Self {
            lifecycle: self.lifecycle.because(reason),
            ..self.clone()
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

    /// Where the tenant of the context is in its life, and why.
    pub async fn state(&self, ctx: &TenantCtx) -> Result<TenantState, Error> {
        self.store.state_in(&mut self.db.read(ctx).await?).await
    }

    /// A page of the tenants a user is an active member of, by name. Needs no context.
    pub async fn of(&self, user: UserId, page: &MyTenantsPage) -> Result<Vec<MyTenant>, Error> {
        self.store.for_user(user, page).await
    }

    /// The tenant that has this slug, or had it and is still known by it: then redirect. It tells
    /// that a tenant exists: ask it for routing, and answer an outsider as [`TenantDb::enter`] does.
    pub async fn by_slug(&self, slug: &str) -> Result<Option<SlugOwner>, Error> {
        match Slug::parse(slug) {
            Ok(slug) => self.store.by_slug(slug.as_str()).await,
            // No tenant was ever called that.
            Err(_) => Ok(None),
        }
    }

    /// Gives the tenant another name for people.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `tenant.manage`.
    pub async fn rename(&self, ctx: &TenantCtx, name: &TenantName) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::TenantManage::get())
            .await?;
        let old = self.store.rename_in(&mut tx, name).await?;
        let event = self
            .lifecycle
            .event(&tx, "tenant.renamed")
            .meta("from", old)
            .meta("to", name.as_str());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    /// Gives the tenant another slug. The old one is kept for it for a while, so that
    /// [`by_slug`](Self::by_slug) can redirect and nobody else takes the name over; then it is
    /// free, unless a legal hold stands. At most ten are kept at once.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `tenant.manage`; [`Conflict`](ErrorKind::Conflict)
    /// `slug_taken` or `slug_unchanged`; [`Limit`](ErrorKind::Limit) `too_many_former_slugs`.
    pub async fn change_slug(&self, ctx: &TenantCtx, slug: &Slug) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::TenantManage::get())
            .await?;
        let old = self
            .store
            .change_slug_in(&mut tx, slug, self.keep_slug)
            .await?;
        let event = self
            .lifecycle
            .event(&tx, "tenant.slug_changed")
            .meta("from", old)
            .meta("to", slug.as_str());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    /// Suspends the tenant, read-only or closed to everybody, or switches from the one to the other.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `tenant.manage`, or `closed_by_platform`;
    /// [`Conflict`](ErrorKind::Conflict) `transition_refused` if it is suspended so already or is
    /// to be deleted, and `stale` if somebody else moved it at this moment.
    pub async fn suspend(&self, ctx: &TenantCtx, how: Suspension) -> Result<(), Error> {
        self.manage(ctx, None, Step::Suspend(how)).await
    }

    /// Opens a suspended tenant again, if it is in the state the caller saw. Nobody can enter a
    /// blocked one: see [`reopen`](Self::reopen).
    ///
    /// # Errors
    /// As [`suspend`](Self::suspend).
    pub async fn resume(&self, ctx: &TenantCtx, from: TenantStatus) -> Result<(), Error> {
        self.manage(ctx, Some(from), Step::Resume).await
    }

    /// Closes the tenant to everybody now and has it deleted after the period of grace, in which
    /// it can be taken back.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `tenant.delete`, or `closed_by_platform`;
    /// [`Conflict`](ErrorKind::Conflict) as [`suspend`](Self::suspend).
    pub async fn schedule_deletion(&self, ctx: &TenantCtx, grace: Grace) -> Result<(), Error> {
        self.authorizer
            .require(ctx, perm::TenantDelete::get())
            .await?;
        let tx = self.db.aside(ctx).await?;
        let step = Step::ScheduleDeletion(grace);
        self.lifecycle.take(tx, None, step).await
    }

    /// Opens a tenant that its own members have blocked or want deleted: a blocked one becomes
    /// active, one to be deleted returns to the state it was in.
    ///
    /// Nobody can enter such a tenant, so the user's membership is checked here, and the context
    /// ends here.
    ///
    /// # Errors
    /// [`NotAMember`](ErrorKind::NotAMember) whether the tenant exists or not;
    /// [`Denied`](ErrorKind::Denied) without `tenant.manage` or `tenant.delete`, or
    /// `closed_by_platform`; [`Conflict`](ErrorKind::Conflict) `tenant_not_closed`, `stale`.
    pub async fn reopen(&self, tenant: TenantId, user: UserId) -> Result<(), Error> {
        let status = self.db.member_tenant_status(tenant, user).await?;
        let ctx = TenantCtx::proven(tenant, Principal::user(user), Access::ReadOnly);
        let (seen, step) = match status.as_deref().and_then(TenantStatus::parse) {
            Some(seen @ TenantStatus::SuspendedBlocked) => {
                self.authorizer
                    .require(&ctx, perm::TenantManage::get())
                    .await?;
                (seen, Step::Resume)
            }
            Some(seen @ TenantStatus::Deleting) => {
                self.authorizer
                    .require(&ctx, perm::TenantDelete::get())
                    .await?;
                (seen, Step::CancelDeletion)
            }
            Some(TenantStatus::Active | TenantStatus::SuspendedReadOnly) => {
                let message = "the tenant is open: enter it";
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "tenant_not_closed",
                    message,
                ));
            }
            _ => return Err(Error::not_a_member()),
        };
        let tx = self.db.aside(&ctx).await?;
        self.lifecycle.take(tx, Some(seen), step).await
    }

    async fn manage(
        &self,
        ctx: &TenantCtx,
        seen: Option<TenantStatus>,
        step: Step,
    ) -> Result<(), Error> {
        self.authorizer
            .require(ctx, perm::TenantManage::get())
            .await?;
        self.lifecycle
            .take(self.db.aside(ctx).await?, seen, step)
            .await
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenants").finish_non_exhaustive()
    }
}
