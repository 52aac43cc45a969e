//! How support looks into a tenant.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::refusal::recorded;
use crate::{
    Access, AuditSink, Authorizer, AuthorizerExt as _, Error, ErrorKind, Event, Impersonation,
    ImpersonationId, NewImpersonation, PgStore, Principal, Reason, SupportGrant, SupportStore,
    TenantCtx, TenantDb, perm,
};

const MAX_GRANT: Duration = Duration::from_hours(7 * 24);
const MAX_SESSION: Duration = Duration::from_hours(8);

/// Lets the platform's support staff act for a member of a tenant: with the tenant's consent, for a
/// time, on record.
///
/// Two keys are needed. The operator says who the staff is
/// ([`OperatorDb::set_support_staff`](crate::OperatorDb::set_support_staff)); an owner opens his
/// tenant to them, for reading unless he says more. A session is for one member, has a reason, ends
/// after 8 hours at the latest, and shows in the tenant's list and in every audit entry as actor and
/// as whom he acts for. Support never has more rights than the member, and some of his not at all:
/// who belongs to the tenant, what roles grant, the tenant itself, its API keys and secrets
/// ([`Principal::is_closed_to`]). Owner's decisions are no permission and closed as well.
///
/// ```no_run
/// # use std::{sync::Arc, time::Duration};
/// # use tenancy_core::{AuditSink, Authorizer, Error, NewImpersonation, Support, SupportGrant, TenantCtx, TenantDb, UserId};
/// # async fn run(db: TenantDb, authorizer: Arc<dyn Authorizer>, audit: Arc<dyn AuditSink>,
/// #     owner: TenantCtx, staff: UserId, member: UserId) -> Result<(), Error> {
/// let support = Support::new(db, authorizer, audit);
/// support.grant(&owner, SupportGrant::new(Duration::from_hours(24))).await?;
/// let new = NewImpersonation::new(owner.tenant(), staff, member, "ticket 4711: import hangs");
/// let (session, ctx) = support.start(new).await?;
/// support.end(&ctx, session.id).await?;
/// # Ok(()) }
/// ```
///
/// A later request of the same session enters by
/// [`enter_as`](crate::TenantDb::enter_as)`(tenant, Principal::user(staff).on_behalf_of(member))`,
/// which checks it anew. So does each of its transactions: whoever keeps a context beyond the end of its
/// session opens nothing with it.
#[derive(Clone)]
pub struct Support {
    db: TenantDb,
    store: Arc<dyn SupportStore>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<dyn AuditSink>,
}

impl Support {
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

    /// Opens the tenant to the support staff; an earlier consent ends, with its sessions.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) with the code `owner_only`;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for less than a minute or more than a week.
    pub async fn grant(
        &self,
        ctx: &TenantCtx,
        grant: SupportGrant,
    ) -> Result<DateTime<Utc>, Error> {
        between(
            grant.valid_for,
            MAX_GRANT,
            "a tenant is open to support for a minute to a week",
        )?;
        let event = Event::new("support.granted")
            .meta("may_write", grant.may_write)
            .meta("may_be_owner", grant.may_be_owner);
        let mut tx = self.db.write(ctx).await?;
        let until = match self.store.grant_in(&mut tx, &grant).await {
            Ok(until) => until,
            Err(error) => {
                drop(tx);
                return Err(recorded(&*self.audit, ctx, event, error).await);
            }
        };
        let event = event.meta("expires_at", until.to_rfc3339());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(until)
    }

    /// Closes the tenant to support and ends every session.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) with the code `owner_only`.
    pub async fn revoke(&self, ctx: &TenantCtx) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        let event = Event::new("support.revoked");
        match self.store.revoke_in(&mut tx).await {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.audit.record_in(&mut tx, event).await?;
                tx.commit().await
            }
            Err(error) => {
                drop(tx);
                Err(recorded(&*self.audit, ctx, event, error).await)
            }
        }
    }

    /// Begins a session, and enters the tenant in it.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) `not_support_staff`, `support_not_granted` (also where there is
    /// no such tenant), `support_is_member`, `owner_protected` or `member_is_staff`;
    /// [`NotFound`](ErrorKind::NotFound) `member_not_found`; [`Conflict`](ErrorKind::Conflict)
    /// `impersonation_open`; [`InvalidInput`](ErrorKind::InvalidInput) for a reason of less than 10
    /// or more than 500 characters, or for less than a minute or more than 8 hours.
    pub async fn start(&self, new: NewImpersonation) -> Result<(Impersonation, TenantCtx), Error> {
        between(
            new.valid_for,
            MAX_SESSION,
            "a session of support lasts a minute to 8 hours",
        )?;
        let reason = Reason::parse(&new.reason).ok();
        if reason.is_none_or(|reason| reason.as_str().chars().count() < 10) {
            let message =
                "say why, in 10 to 500 characters, none of them invisible: the tenant reads it";
            return Err(Error::invalid("impersonation_reason", message));
        }
        let principal = Principal::user(new.support).on_behalf_of(new.member);
        let ctx = TenantCtx::proven(new.tenant, principal.clone(), Access::ReadOnly);
        let event = Event::new("impersonation.started")
            .target("user", new.member)
            .meta("reason", new.reason.trim());
        let mut tx = self.db.aside(&ctx).await?;
        let session = match self.store.start_in(&mut tx, &new).await {
            Ok(session) => session,
            // Nothing shows yet that there is such a tenant, or that the caller may know.
            Err(error) if matches!(error.code(), "not_support_staff" | "support_not_granted") => {
                return Err(error);
            }
            Err(error) => {
                drop(tx);
                return Err(recorded(&*self.audit, &ctx, event, error).await);
            }
        };
        let event = event
            .target("impersonation", session.id)
            .meta("expires_at", session.expires_at.to_rfc3339());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        let entered = self.db.enter_as(new.tenant, principal).await?;
        Ok((session, entered))
    }

    /// Ends a session: by the one who acts in it, or by an owner.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) with the code `impersonation_unknown`.
    pub async fn end(&self, ctx: &TenantCtx, session: ImpersonationId) -> Result<(), Error> {
        let mut tx = self.db.aside(ctx).await?;
        self.store.end_in(&mut tx, session).await?;
        let event = Event::new("impersonation.ended").target("impersonation", session);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    /// A page of at most 200 sessions, newest first, behind the one given: who looked in, and why.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `members.read`.
    pub async fn list(
        &self,
        ctx: &TenantCtx,
        after: Option<ImpersonationId>,
        limit: u16,
    ) -> Result<Vec<Impersonation>, Error> {
        self.authorizer
            .require(ctx, perm::MembersRead::get())
            .await?;
        let mut tx = self.db.read(ctx).await?;
        self.store
            .list_in(&mut tx, after, limit.clamp(1, 200))
            .await
    }
}

impl std::fmt::Debug for Support {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Support").finish_non_exhaustive()
    }
}

fn between(span: Duration, most: Duration, message: &str) -> Result<(), Error> {
    if (Duration::from_mins(1)..=most).contains(&span) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "support_validity",
        message,
    ))
}
