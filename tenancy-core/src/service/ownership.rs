//! Who owns a tenant.

use std::{sync::Arc, time::Duration};

use super::refusal::recorded;
use crate::{
    AuditSink, Error, Event, OfferAnswer, OwnershipOffer, OwnershipOfferId, OwnershipStore,
    PgStore, RoleDirectory, TenantCtx, TenantDb, TenantTx, UserId, model::tell,
};

const MAX_VALIDITY: Duration = Duration::from_hours(30 * 24);

/// Adds and removes owners, and moves an owner's place to another member by offer and acceptance.
///
/// Ownership is no permission: only an active owner changes owners, by his own hand, and never a
/// service, an API key, or somebody who acts for him. A tenant keeps at least one active owner. The
/// role `owner` comes and goes with the place; who gives it up and has no other role keeps `admin`.
///
/// ```no_run
/// # use std::{sync::Arc, time::Duration};
/// # use tenancy_core::{AuditSink, Error, Ownership, RoleDirectory, TenantCtx, TenantDb};
/// # async fn run(db: TenantDb, roles: Arc<dyn RoleDirectory>, audit: Arc<dyn AuditSink>,
/// #     ada: TenantCtx, bob: TenantCtx) -> Result<(), Error> {
/// let ownership = Ownership::new(db, roles, audit);
/// let week = Duration::from_hours(7 * 24);
/// let offer = ownership.offer(&ada, bob.user().unwrap(), week).await?;
/// ownership.accept(&bob, offer.id).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Ownership {
    db: TenantDb,
    store: Arc<dyn OwnershipStore>,
    roles: Arc<dyn RoleDirectory>,
    audit: Arc<dyn AuditSink>,
}

impl Ownership {
    /// Puts the service together, on Postgres.
    pub fn new(db: TenantDb, roles: Arc<dyn RoleDirectory>, audit: Arc<dyn AuditSink>) -> Self {
        let store = Arc::new(PgStore::new(db.clone()));
        Self {
            db,
            store,
            roles,
            audit,
        }
    }

    /// Makes an active member an owner beside the others.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) with the code `owner_only`;
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown member;
    /// [`Conflict`](crate::ErrorKind::Conflict) with the code `member_deactivated`.
    pub async fn add(&self, ctx: &TenantCtx, member: UserId) -> Result<(), Error> {
        self.set(ctx, member, true).await
    }

    /// Makes an owner a plain member; he may be the caller himself.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) with the code `owner_only`;
    /// [`Conflict`](crate::ErrorKind::Conflict) with the code `last_owner`.
    pub async fn remove(&self, ctx: &TenantCtx, member: UserId) -> Result<(), Error> {
        self.set(ctx, member, false).await
    }

    /// Offers the caller's place to an active member: nothing changes until he accepts.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) with the code `owner_only`;
    /// [`Conflict`](crate::ErrorKind::Conflict) with the code `offer_open` while another offer of
    /// the tenant can be accepted, `already_owner`, or `member_deactivated`;
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown member;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for less than a minute or more than 30 days.
    pub async fn offer(
        &self,
        ctx: &TenantCtx,
        to: UserId,
        valid_for: Duration,
    ) -> Result<OwnershipOffer, Error> {
        if !(Duration::from_mins(1)..=MAX_VALIDITY).contains(&valid_for) {
            let message = "an offer is valid for at least a minute and at most 30 days";
            return Err(Error::invalid("offer_validity", message));
        }
        let mut tx = self.db.write(ctx).await?;
        let event = Event::new("ownership.offered").target("user", to);
        let offer = match self.store.offer_in(&mut tx, to, valid_for).await {
            Ok(offer) => offer,
            Err(error) => return Err(self.refused(ctx, tx, event, error).await),
        };
        let event = event
            .target("ownership_offer", offer.id)
            .meta("expires_at", offer.expires_at.to_rfc3339());
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(offer)
    }

    /// Takes the place that was offered to the caller. The one who offered is no longer an owner.
    ///
    /// # Errors
    /// Each with a code of its own: [`NotFound`](crate::ErrorKind::NotFound) `offer_unknown`;
    /// [`Denied`](crate::ErrorKind::Denied) `offer_wrong_recipient`;
    /// [`Conflict`](crate::ErrorKind::Conflict) `offer_used`, `offer_declined`, `offer_revoked`,
    /// `offer_expired`, or `offer_stale` if it is no longer the giver's to give.
    pub async fn accept(&self, ctx: &TenantCtx, offer: OwnershipOfferId) -> Result<(), Error> {
        self.answer(ctx, offer, OfferAnswer::Accept).await
    }

    /// Declines what was offered to the caller.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub async fn decline(&self, ctx: &TenantCtx, offer: OwnershipOfferId) -> Result<(), Error> {
        self.answer(ctx, offer, OfferAnswer::Decline).await
    }

    /// Takes an offer back; any owner may.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) with the code `owner_only`; otherwise as
    /// [`accept`](Self::accept).
    pub async fn revoke(&self, ctx: &TenantCtx, offer: OwnershipOfferId) -> Result<(), Error> {
        self.answer(ctx, offer, OfferAnswer::Revoke).await
    }

    /// The offer that can be accepted now, if there is one. Every member may see it.
    pub async fn open_offer(&self, ctx: &TenantCtx) -> Result<Option<OwnershipOffer>, Error> {
        self.store
            .open_offer_in(&mut self.db.read(ctx).await?)
            .await
    }

    async fn set(&self, ctx: &TenantCtx, member: UserId, is_owner: bool) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        let action = if is_owner {
            "ownership.added"
        } else {
            "ownership.removed"
        };
        let event = Event::new(action).target("user", member);
        match self.store.set_owner_in(&mut tx, member, is_owner).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(self.refused(ctx, tx, event, error).await),
        }
        let change = self.roles.set_owner_in(&mut tx, member, is_owner).await?;
        let event = match &change {
            Some(change) => tell(
                event,
                [("before", &change.before), ("after", &change.after)],
            ),
            None => event,
        };
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    async fn answer(
        &self,
        ctx: &TenantCtx,
        offer: OwnershipOfferId,
        answer: OfferAnswer,
    ) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        let action = match answer {
            OfferAnswer::Accept => "ownership.transferred",
            OfferAnswer::Decline => "ownership.declined",
            OfferAnswer::Revoke => "ownership.offer_revoked",
        };
        let event = Event::new(action).target("ownership_offer", offer);
        let from = match self.store.answer_in(&mut tx, offer, answer).await {
            Ok(from) => from,
            Err(error) => return Err(self.refused(ctx, tx, event, error).await),
        };
        let mut event = event.meta("from", from.to_string());
        if answer == OfferAnswer::Accept
            && let Some(to) = ctx.principal().himself()
        {
            let gained = self.roles.set_owner_in(&mut tx, to, true).await?;
            let lost = self.roles.set_owner_in(&mut tx, from, false).await?;
            event = event.meta("to", to.to_string());
            if let (Some(gained), Some(lost)) = (gained, lost) {
                let lists = [
                    ("from_before", &*lost.before),
                    ("from_after", &*lost.after),
                    ("to_before", &*gained.before),
                    ("to_after", &*gained.after),
                ];
                event = tell(event, lists);
            }
        }
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    async fn refused(&self, ctx: &TenantCtx, tx: TenantTx, attempt: Event, error: Error) -> Error {
        drop(tx);
        recorded(&*self.audit, ctx, attempt, error).await
    }
}

impl std::fmt::Debug for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ownership").finish_non_exhaustive()
    }
}
