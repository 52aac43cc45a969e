//! Who belongs to a tenant.

use std::sync::Arc;

use super::refusal::recorded;
use crate::{
    AuditSink, Authorizer, AuthorizerExt as _, Error, Event, Member, MemberStatus, MembershipStore,
    PgStore, RoleDirectory, RoleKey, TenantCtx, TenantDb, TenantTx, UserId, model::tell, perm,
};

/// The most roles that an invitation or a change of roles names.
pub(super) const MAX_ROLES: usize = 20;

/// Lists members, changes their roles, keeps them out, lets them in again, and ends memberships.
///
/// Owners are touched by owners only: who may manage members can neither keep an owner out nor let
/// one in again nor remove him. A tenant keeps at least one active owner, whatever happens at
/// once. Whoever is kept out or removed takes his pending invitations and his offers of ownership
/// with him; what he did before stays. What is so already is no change and leaves no audit entry.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, Error, MemberStatus, Members, RoleDirectory, RoleKey, TenantCtx, TenantDb, UserId};
/// # async fn run(db: TenantDb, roles: Arc<dyn RoleDirectory>, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>, ctx: TenantCtx, bob: UserId) -> Result<(), Error> {
/// let members = Members::new(db, authorizer, roles, audit);
/// members.set_roles(&ctx, bob, &[RoleKey::from_static("viewer")]).await?;
/// members.set_status(&ctx, bob, MemberStatus::Deactivated).await?;
/// members.remove(&ctx, bob).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Members {
    db: TenantDb,
    store: Arc<dyn MembershipStore>,
    authorizer: Arc<dyn Authorizer>,
    roles: Arc<dyn RoleDirectory>,
    audit: Arc<dyn AuditSink>,
}

impl Members {
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

    /// One member, whatever his state. Everybody may ask about himself.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `members.read`.
    pub async fn get(&self, ctx: &TenantCtx, member: UserId) -> Result<Option<Member>, Error> {
        if ctx.user() != Some(member) {
            self.authorizer
                .require(ctx, perm::MembersRead::get())
                .await?;
        }
        self.store
            .get_in(&mut self.db.read(ctx).await?, member)
            .await
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

    /// Makes these the roles of a member, for good, and takes all others from him.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `members.manage`, or where the role directory
    /// refuses, such as a role that grants what the giver does not hold;
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown member or role;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for more than 20 roles.
    pub async fn set_roles(
        &self,
        ctx: &TenantCtx,
        member: UserId,
        roles: &[RoleKey],
    ) -> Result<(), Error> {
        if roles.len() > MAX_ROLES {
            let message = format!("a change of roles names at most {MAX_ROLES}");
            return Err(Error::invalid("too_many_roles", message));
        }
        let mut tx = self.managing(ctx).await?;
        if self.store.get_in(&mut tx, member).await?.is_none() {
            let message = "there is no such member";
            return Err(Error::new(
                crate::ErrorKind::NotFound,
                "member_not_found",
                message,
            ));
        }
        let Some(change) = self.roles.set_roles_in(&mut tx, member, roles).await? else {
            return Ok(());
        };
        let event = Event::new("member.roles_changed").target("user", member);
        let event = tell(
            event,
            [("before", &change.before), ("after", &change.after)],
        );
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    /// Lets a member in or keeps him out; his place and his roles are kept.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `members.manage`, and with the code
    /// `owner_protected` if he is an owner and the caller is none;
    /// [`Conflict`](crate::ErrorKind::Conflict) with the code `last_owner` if he is the last one.
    pub async fn set_status(
        &self,
        ctx: &TenantCtx,
        member: UserId,
        to: MemberStatus,
    ) -> Result<(), Error> {
        let mut tx = self.managing(ctx).await?;
        let action = match to {
            MemberStatus::Active => "member.activated",
            MemberStatus::Deactivated => "member.deactivated",
        };
        let event = Event::new(action).target("user", member);
        match self.store.set_status_in(&mut tx, member, to).await {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.audit.record_in(&mut tx, event).await?;
                tx.commit().await
            }
            Err(error) => Err(self.refused(ctx, tx, event, error).await),
        }
    }

    /// Ends a membership with everything that hangs on it. Members may remove themselves.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status).
    pub async fn remove(&self, ctx: &TenantCtx, member: UserId) -> Result<(), Error> {
        if ctx.principal().himself() == Some(member) {
            return self.leave(ctx).await;
        }
        let tx = self.managing(ctx).await?;
        self.end(ctx, tx, member, "member.removed").await
    }

    /// Ends the caller's own membership, which needs no permission.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) with the code `last_owner` if he is the last owner;
    /// [`Denied`](crate::ErrorKind::Denied) with the code `not_himself` for services, API keys, and
    /// whoever acts for another.
    pub async fn leave(&self, ctx: &TenantCtx) -> Result<(), Error> {
        let Some(member) = ctx.principal().himself() else {
            let message = "only a person, by his own hand, can leave a tenant";
            let error = Error::new(crate::ErrorKind::Denied, "not_himself", message);
            return Err(recorded(&*self.audit, ctx, Event::new("member.left"), error).await);
        };
        let tx = self.db.write(ctx).await?;
        self.end(ctx, tx, member, "member.left").await
    }

    async fn end(
        &self,
        ctx: &TenantCtx,
        mut tx: TenantTx,
        member: UserId,
        action: &str,
    ) -> Result<(), Error> {
        let event = Event::new(action).target("user", member);
        // They go with the membership, and nothing says afterwards what they were.
        let held = self.roles.held_in(&mut tx, member).await?;
        if let Err(error) = self.store.remove_in(&mut tx, member).await {
            return Err(self.refused(ctx, tx, event, error).await);
        }
        let event = tell(event, [("before", &held)]);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    async fn managing(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::MembersManage::get())
            .await?;
        Ok(tx)
    }

    async fn refused(&self, ctx: &TenantCtx, tx: TenantTx, attempt: Event, error: Error) -> Error {
        // Its locks must not wait for the audit log.
        drop(tx);
        recorded(&*self.audit, ctx, attempt, error).await
    }
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").finish_non_exhaustive()
    }
}
