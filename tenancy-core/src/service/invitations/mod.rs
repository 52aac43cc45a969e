//! How people become members.

mod answer;
pub(crate) mod token;

use std::{collections::HashSet, sync::Arc, time::Duration};

use self::token::new_token;
use super::{limits::Limits, members::MAX_ROLES};
use crate::{
    AuditSink, Authorizer, AuthorizerExt as _, BulkInvitation, BulkOutcome, Email, Error,
    ErrorKind, Event, Invitation, InvitationBatch, InvitationBounds, InvitationId, InvitationPage,
    InvitationStore, NewInvitation, PgStore, RoleDirectory, RoleKey, SecretText, SentInvitation,
    TenantCtx, TenantDb, TenantTx, limit, model::invitation_error, perm,
};

const MAX_VALIDITY: Duration = Duration::from_hours(30 * 24);
const MAX_BATCH: usize = 500;
const SENDS_AN_HOUR: u64 = 5;

/// Invites people by e-mail and lets them answer.
///
/// The token has 32 random bytes, is shown once, and only its SHA-256 is stored. It works once,
/// for the invited address, until it expires, is replaced or is taken back. Sending it is the
/// host's. Bounds: 100 invitations of a tenant wait at once
/// ([`limit::PENDING_INVITATIONS`](crate::limit::PENDING_INVITATIONS), which the platform can set),
/// and one address is written to at most 5 times an hour.
///
/// An invitation stands on the word of whoever sent it last: what it gives is what he may still
/// give when it is accepted, and it ends when he is removed or kept out.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, Email, Error, Invitations, NewInvitation, RoleDirectory, RoleKey, TenantCtx, TenantDb, UserId};
/// # async fn run(db: TenantDb, roles: Arc<dyn RoleDirectory>, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>, ctx: TenantCtx, bob: UserId) -> Result<(), Error> {
/// let invitations = Invitations::new(db, authorizer, roles, audit);
/// let email = Email::parse("bob@example.com")?;
/// let new = NewInvitation::new(email.clone(), vec![RoleKey::from_static("member")]);
/// let sent = invitations.invite(&ctx, new).await?;
/// // Mail `sent.token`. When Bob is logged in, with this address verified:
/// let bob = invitations.accept(sent.token.expose(), bob, &email).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Invitations {
    db: TenantDb,
    store: Arc<dyn InvitationStore>,
    authorizer: Arc<dyn Authorizer>,
    roles: Arc<dyn RoleDirectory>,
    audit: Arc<dyn AuditSink>,
    limits: Limits,
}

impl Invitations {
    /// Puts the service together, on Postgres.
    pub fn new(
        db: TenantDb,
        authorizer: Arc<dyn Authorizer>,
        roles: Arc<dyn RoleDirectory>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        let (store, limits) = (Arc::new(PgStore::new(db.clone())), Limits::new(db.clone()));
        Self {
            db,
            store,
            authorizer,
            roles,
            audit,
            limits,
        }
    }

    /// Invites somebody. An older pending invitation to the same address is taken back.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `members.invite`, or if a role would give more than
    /// the inviter has; [`NotFound`](ErrorKind::NotFound) for an unknown role;
    /// [`InvalidInput`](ErrorKind::InvalidInput) without roles, with more than 20, for less than a
    /// minute or more than 30 days, or by anybody but a person for himself;
    /// [`Limit`](ErrorKind::Limit) `too_many_invitations` or `invited_too_often`.
    pub async fn invite(
        &self,
        ctx: &TenantCtx,
        invitation: NewInvitation,
    ) -> Result<SentInvitation, Error> {
        let NewInvitation {
            email,
            roles,
            valid_for,
        } = invitation;
        check(ctx, &roles, valid_for)?;
        let mut tx = self.inviting(ctx, &roles).await?;
        let mut sent = self.send(&mut tx, vec![email], roles, valid_for).await?;
        let sent = sent
            .pop()
            .unwrap_or_else(|| Err(invitation_error::unknown()))?;
        tx.commit().await?;
        Ok(sent)
    }

    /// Invites up to 500 at once, with a result for each address, in their order.
    ///
    /// One transaction: what is wrong with the call as a whole (a missing permission, an unknown
    /// role) stores nothing, and so does a failure. What is wrong with one address (it is none, it
    /// stands in the list before, a bound is reached) leaves the others as they are.
    ///
    /// # Errors
    /// As [`invite`](Self::invite); [`InvalidInput`](ErrorKind::InvalidInput) for none or more than
    /// 500 addresses. Results: also `email_duplicate`.
    pub async fn invite_many(
        &self,
        ctx: &TenantCtx,
        bulk: BulkInvitation,
    ) -> Result<Vec<BulkOutcome>, Error> {
        check(ctx, &bulk.roles, bulk.valid_for)?;
        if bulk.emails.is_empty() || bulk.emails.len() > MAX_BATCH {
            let message = format!("1 to {MAX_BATCH} people are invited at once");
            return Err(Error::invalid("invitation_batch", message));
        }
        let mut seen = HashSet::new();
        let parsed: Vec<Result<Email, Error>> = bulk
            .emails
            .iter()
            .map(|text| distinct(Email::parse(text)?, &mut seen))
            .collect();
        let valid = parsed.iter().flatten().cloned().collect();
        let mut tx = self.inviting(ctx, &bulk.roles).await?;
        let sent = self
            .send(&mut tx, valid, bulk.roles, bulk.valid_for)
            .await?;
        tx.commit().await?;
        let mut sent = sent.into_iter();
        let results = parsed.into_iter().map(|parsed| {
            parsed.and_then(|_| {
                sent.next()
                    .unwrap_or_else(|| Err(invitation_error::unknown()))
            })
        });
        let outcomes = bulk.emails.into_iter().zip(results);
        Ok(outcomes
            .map(|(email, result)| BulkOutcome::new(email, result))
            .collect())
    }

    /// Sends a pending or expired invitation again: a new token, a new expiry, and from now on on
    /// the word of the caller. Older tokens are dead.
    ///
    /// # Errors
    /// As [`invite`](Self::invite); [`NotFound`](ErrorKind::NotFound) `invitation_unknown`;
    /// [`Conflict`](ErrorKind::Conflict) `invitation_used`, `invitation_declined` or
    /// `invitation_revoked`.
    pub async fn resend(
        &self,
        ctx: &TenantCtx,
        id: InvitationId,
        valid_for: Duration,
    ) -> Result<SentInvitation, Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::MembersInvite::get())
            .await?;
        let found = self.store.get_in(&mut tx, id).await?;
        let mut invitation = found.ok_or_else(invitation_error::unknown)?;
        check(ctx, &invitation.roles, valid_for)?;
        self.roles.may_grant_in(&mut tx, &invitation.roles).await?;
        let (token, hash) = new_token()?;
        let bounds = self.bounds(&mut tx, valid_for).await?;
        invitation.expires_at = self.store.resend_in(&mut tx, id, &hash, bounds).await?;
        invitation.status = crate::InvitationStatus::Pending;
        let event = Event::new("invitation.resent").target("invitation", id);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(SentInvitation { invitation, token })
    }

    /// Takes a pending invitation back.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `members.invite`; [`NotFound`](ErrorKind::NotFound)
    /// if no such invitation is pending.
    pub async fn revoke(&self, ctx: &TenantCtx, id: InvitationId) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::MembersInvite::get())
            .await?;
        if !self.store.revoke_in(&mut tx, id).await? {
            return Err(invitation_error::unknown());
        }
        let event = Event::new("invitation.revoked").target("invitation", id);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    /// A page of invitations, newest first; at most 200.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `members.read`.
    pub async fn list(
        &self,
        ctx: &TenantCtx,
        page: &InvitationPage,
    ) -> Result<Vec<Invitation>, Error> {
        self.authorizer
            .require(ctx, perm::MembersRead::get())
            .await?;
        self.store
            .list_in(&mut self.db.read(ctx).await?, page)
            .await
    }

    /// A transaction of somebody who may invite into these roles.
    async fn inviting(&self, ctx: &TenantCtx, roles: &[RoleKey]) -> Result<TenantTx, Error> {
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::MembersInvite::get())
            .await?;
        self.roles.may_grant_in(&mut tx, roles).await?;
        Ok(tx)
    }

    /// Stores invitations with their tokens and audit entries; a result for each address.
    async fn send(
        &self,
        tx: &mut TenantTx,
        emails: Vec<Email>,
        roles: Vec<RoleKey>,
        valid_for: Duration,
    ) -> Result<Vec<Result<SentInvitation, Error>>, Error> {
        if emails.is_empty() {
            return Ok(Vec::new());
        }
        let mut tokens: Vec<SecretText> = Vec::with_capacity(emails.len());
        let mut recipients = Vec::with_capacity(emails.len());
        for email in emails {
            let (token, hash) = new_token()?;
            tokens.push(token);
            recipients.push((email, hash));
        }
        let batch = InvitationBatch {
            recipients,
            roles,
            bounds: self.bounds(tx, valid_for).await?,
        };
        let stored = self.store.create_in(tx, &batch).await?;
        let keys: Vec<&str> = batch.roles.iter().map(AsRef::as_ref).collect();
        for invitation in stored.iter().flatten() {
            let event = Event::new("invitation.created")
                .target("invitation", invitation.id)
                .meta("roles", keys.clone());
            self.audit.record_in(tx, event).await?;
        }
        let sent = stored.into_iter().zip(tokens).map(|(invitation, token)| {
            invitation.map(|invitation| SentInvitation { invitation, token })
        });
        Ok(sent.collect())
    }

    async fn bounds(
        &self,
        tx: &mut TenantTx,
        valid_for: Duration,
    ) -> Result<InvitationBounds, Error> {
        Ok(InvitationBounds {
            valid_for,
            most_pending: self.limits.get_in(tx, &limit::PENDING_INVITATIONS).await?,
            sends_an_hour: SENDS_AN_HOUR,
        })
    }
}

impl std::fmt::Debug for Invitations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invitations").finish_non_exhaustive()
    }
}

fn check(ctx: &TenantCtx, roles: &[RoleKey], valid_for: Duration) -> Result<(), Error> {
    if ctx.principal().himself().is_none() {
        let message = "only a person, by his own hand, can invite";
        return Err(Error::invalid("inviter_not_a_user", message));
    }
    if roles.is_empty() || roles.len() > MAX_ROLES {
        let message = format!("an invitation names 1 to {MAX_ROLES} roles");
        return Err(Error::invalid("invitation_roles", message));
    }
    if !(Duration::from_mins(1)..=MAX_VALIDITY).contains(&valid_for) {
        let message = "an invitation is valid for at least a minute and at most 30 days";
        return Err(Error::invalid("invitation_validity", message));
    }
    Ok(())
}

/// The address, unless it was there before.
fn distinct(email: Email, seen: &mut HashSet<String>) -> Result<Email, Error> {
    if seen.insert(email.normalised().to_owned()) {
        return Ok(email);
    }
    let message = "this address stands in the list before";
    Err(Error::new(
        ErrorKind::InvalidInput,
        "email_duplicate",
        message,
    ))
}
