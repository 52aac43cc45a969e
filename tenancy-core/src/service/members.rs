//! Who belongs to a tenant.

use std::sync::Arc;

use crate::{
    AuditSink, Authorizer, AuthorizerExt as _, Error, Event, Member, MemberStatus, MembershipStore,
    PgStore, TenantCtx, TenantDb, UserId, perm,
};

/// Lists, deactivates and removes members.
#[derive(Clone)]
pub struct Members {
    db: TenantDb,
    store: Arc<dyn MembershipStore>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
}

impl Members {
    /// Puts the service together, on Postgres.
    pub fn new(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>) -> Self {
        let store = Arc::new(PgStore::new(db.clone()));
        Self {
            db,
            store,
            authorizer,
            audit,
        }
    }

    /// A page of at most 200 members in the order of their ids, after the one given.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `members.read`.
    pub async fn list(
        &self,
        ctx: &TenantCtx,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Member>, Error> {
        self.authorizer
            .require(ctx, perm::MembersRead::get())
            .await?;
        self.store
            .list_in(&mut self.db.read(ctx).await?, after, limit.clamp(1, 200))
            .await
    }

    /// Lets a member in or keeps him out; his roles are kept.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `members.manage`;
    /// [`Conflict`](crate::ErrorKind::Conflict) with the code `last_owner` if he is the last one.
    pub async fn set_status(
        &self,
        ctx: &TenantCtx,
        member: UserId,
        to: MemberStatus,
    ) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::MembersManage::get())
            .await?;
        self.store.set_status_in(&mut tx, member, to).await?;
        let action = match to {
            MemberStatus::Active => "member.activated",
            MemberStatus::Deactivated => "member.deactivated",
        };
        self.audit
            .record_in(&mut tx, Event::new(action).target("user", member))
            .await?;
        tx.commit().await
    }

    /// Ends a membership with everything that hangs on it. Members may remove themselves.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status).
    pub async fn remove(&self, ctx: &TenantCtx, member: UserId) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        let leaves = ctx.user() == Some(member);
        if !leaves {
            self.authorizer
                .require_in(&mut tx, perm::MembersManage::get())
                .await?;
        }
        self.store.remove_in(&mut tx, member).await?;
        let action = if leaves {
            "member.left"
        } else {
            "member.removed"
        };
        self.audit
            .record_in(&mut tx, Event::new(action).target("user", member))
            .await?;
        tx.commit().await
    }
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").finish_non_exhaustive()
    }
}
