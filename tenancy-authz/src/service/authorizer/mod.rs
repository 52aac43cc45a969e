//! Decides what principals may do.

mod decide;
mod directory;
mod many;
mod memory;

use std::{collections::HashSet, sync::Arc};

use tenancy_core::{
    AuditSink, DenyReason, Permission as _, PermissionKey, TenantCtx, TenantDb, TenantId, TenantTx,
};

use super::{
    announcer::Announcer,
    cache::{Room, SnapshotCache},
    denials::Denials,
    options::AuthzOptions,
    perm::RolesManage,
    registry::Registry,
};
use crate::{Error, ErrorKind, PgPolicyStore, PolicyStore, postgres::PgAnnounce};

/// Decides by the roles of each tenant, on Postgres, with a cache whose staleness is bounded.
///
/// It is both the [`Authorizer`](tenancy_core::Authorizer) and the
/// [`RoleDirectory`](tenancy_core::RoleDirectory) of a host. An answer from memory is at most
/// [`AuthzOptions::with_bound`] old (1 s by default), also when another process made the change;
/// changes made through the same authorizer count at once. What is asked inside a transaction is
/// never older than the statement that asks. A database that can't answer is an error of kind
/// [`Unavailable`](tenancy_core::ErrorKind::Unavailable): nothing older is served instead.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, AuthorizerExt as _, TenantCtx, TenantDb};
/// tenancy_core::permissions! {
///     /// Permissions of templates.
///     pub mod perm { TemplatesRead = "templates.read", "see templates", [member]; }
/// }
///
/// # async fn run(db: TenantDb, audit: Arc<dyn AuditSink>, ctx: TenantCtx)
/// # -> Result<(), tenancy_core::Error> {
/// let authz = tenancy_authz::PgAuthorizer::new(db, audit);
/// let granted = authz.require(&ctx, perm::TemplatesRead::get()).await?;
/// assert!(granted.covers(&ctx));
/// # Ok(()) }
/// ```
pub struct PgAuthorizer {
    store: Arc<dyn PolicyStore>,
    cache: Arc<SnapshotCache>,
    registry: Arc<Registry>,
    denials: Denials,
    /// Tells other processes; none for a store that has none.
    announcer: Option<Announcer>,
    options: AuthzOptions,
}

impl PgAuthorizer {
    /// Decides by the roles in this database; denials go to `audit`.
    pub fn new(db: TenantDb, audit: Arc<dyn AuditSink>) -> Self {
        Self::with_options(db, audit, AuthzOptions::default())
    }

    /// The same, with options.
    pub fn with_options(db: TenantDb, audit: Arc<dyn AuditSink>, options: AuthzOptions) -> Self {
        let announcer = options
            .announces
            .then(|| Announcer::new(Box::new(PgAnnounce(db.clone()))));
        let store = Arc::new(PgPolicyStore::new(db));
        Self {
            announcer,
            ..Self::over(store, audit, options)
        }
    }

    /// Decides by the roles in another store, such as the in-memory one of the feature `testing`.
    pub fn over(
        store: Arc<dyn PolicyStore>,
        audit: Arc<dyn AuditSink>,
        options: AuthzOptions,
    ) -> Self {
        let room = Room {
            entries: options.max_snapshots,
            bytes: options.max_bytes,
        };
        let cache = Arc::new(SnapshotCache::new(options.bound, room));
        let denials = Denials::new(audit, options.fold_denials);
        Self {
            store,
            cache,
            registry: Arc::default(),
            denials,
            announcer: None,
            options,
        }
    }

    /// Records the denials that were counted and not recorded yet: before a process ends that
    /// [folds](AuthzOptions::with_folded_denials) them.
    pub async fn flush_denials(&self) {
        self.denials.flush().await;
    }

    /// Waits until other processes were told of what was changed through this authorizer, 5 s at most:
    /// before a process ends that changed something. They are told by a task, which ends with it; who was
    /// not told finds out within its bound.
    pub async fn flush_announcements(&self) {
        if let Some(announcer) = &self.announcer {
            announcer.flush().await;
        }
    }

    /// Lets the next check in each of these tenants ask the database. A change made through this
    /// authorizer does it by itself; it is for a host that changed something behind it.
    pub fn forget(&self, tenants: &HashSet<TenantId>) {
        self.cache.forget(tenants);
    }

    /// Lets the next check of everybody ask whether what is known is still so.
    pub(crate) fn doubt_all(&self) {
        self.cache.doubt();
    }

    pub(crate) fn store(&self) -> &dyn PolicyStore {
        &*self.store
    }

    /// Forgets the tenant once the transaction is committed, and tells other processes.
    pub(crate) fn forget_after(&self, tx: &mut TenantTx) {
        let (cache, announcer) = (self.cache.clone(), self.announcer.clone());
        let ctx = tx.ctx().clone();
        tx.after_commit(move || {
            cache.forget(&HashSet::from([ctx.tenant()]));
            if let Some(announcer) = announcer {
                announcer.changed(ctx);
            }
        });
    }

    /// Puts a refusal of the store on record, if it was one for want of rights.
    pub(crate) async fn record_refusal(
        &self,
        ctx: &TenantCtx,
        roles: &[tenancy_core::RoleKey],
        error: &Error,
    ) {
        match error.kind() {
            ErrorKind::Exceeds => {
                self.denials.exceeded(ctx, roles, &error.to_string()).await;
            }
            ErrorKind::Denied => {
                let missing = &RolesManage::KEY;
                self.record_missing(ctx, missing, DenyReason::NotGranted)
                    .await;
            }
            _ => {}
        }
    }

    async fn record_missing(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
        reason: DenyReason,
    ) {
        let missing = std::slice::from_ref(permission);
        self.denials.missing(ctx, missing, reason).await;
    }
}

impl std::fmt::Debug for PgAuthorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgAuthorizer")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
