//! What the recipient of an invitation does with it.

use super::{Invitations, token::hash_of};
use crate::{
    Acceptance, Access, Email, Error, ErrorKind, Event, InvitationStatus, OpenedInvitation,
    Permission as _, Principal, TenantCtx, TenantId, TenantStatus, UserId,
    model::invitation_error::{ended, replaced, tenant_closed, unknown, wrong_recipient},
    perm,
    service::refusal::recorded,
};

impl Invitations {
    /// Accepts an invitation for a user, and enters the tenant. `verified` is his address, if the
    /// login has verified one.
    ///
    /// Whoever accepted it before and is still a member just enters: an answer that got lost can be
    /// asked for again. A member gets its roles beside his own. One who is kept out comes in again
    /// only if the inviter may manage members now, and an owner only on the word of an owner.
    ///
    /// # Errors
    /// Each with a code of its own: [`NotFound`](ErrorKind::NotFound) `invitation_unknown`;
    /// [`Conflict`](ErrorKind::Conflict) `invitation_used`, `invitation_revoked`,
    /// `invitation_declined`, `invitation_expired` or `invitation_replaced`;
    /// [`Denied`](ErrorKind::Denied) `email_unverified`, `invitation_wrong_recipient`,
    /// `member_deactivated`, or `invitation_exceeds_inviter` if whoever invited may no longer give
    /// its roles; [`Suspended`](ErrorKind::Suspended) while the tenant is not active.
    pub async fn accept(
        &self,
        token: &str,
        user: UserId,
        verified: impl Into<Option<&Email>> + Send,
    ) -> Result<TenantCtx, Error> {
        let verified = verified.into().cloned();
        let hash = hash_of(token).ok_or_else(unknown)?;
        let opened = self.opened(&hash).await?;
        if opened.accepted_by == Some(user) {
            return self.enter_again(opened.tenant, user).await;
        }
        let email = addressed(&opened, verified.as_ref())?;
        if opened.tenant_status != TenantStatus::Active {
            return Err(tenant_closed());
        }
        match self.join(&opened, &hash, user, email).await {
            Ok(()) => self.db.enter(opened.tenant, user).await,
            // Somebody was faster: perhaps he himself.
            Err(error) if error.code() == ended(InvitationStatus::Accepted).code() => {
                match self.opened(&hash).await?.accepted_by {
                    Some(winner) if winner == user => self.enter_again(opened.tenant, user).await,
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Declines an invitation for a user. `verified` is his address, if the login has verified one.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), as far as the invitation itself is concerned.
    pub async fn decline(
        &self,
        token: &str,
        user: UserId,
        verified: impl Into<Option<&Email>> + Send,
    ) -> Result<(), Error> {
        let verified = verified.into().cloned();
        let hash = hash_of(token).ok_or_else(unknown)?;
        let opened = self.opened(&hash).await?;
        let email = addressed(&opened, verified.as_ref())?;
        let ctx = guest(&opened, user);
        let mut tx = self.db.write(&ctx).await?;
        self.store.decline_in(&mut tx, &hash, user, email).await?;
        let event = Event::new("invitation.declined").target("invitation", opened.invitation.id);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    async fn opened(&self, hash: &[u8; 32]) -> Result<OpenedInvitation, Error> {
        self.store.open(hash).await?.ok_or_else(unknown)
    }

    async fn enter_again(&self, tenant: TenantId, user: UserId) -> Result<TenantCtx, Error> {
        let entered = self.db.enter(tenant, user).await;
        entered.map_err(|error| match error.kind() {
            ErrorKind::NotAMember => ended(InvitationStatus::Accepted),
            _ => error,
        })
    }

    async fn join(
        &self,
        opened: &OpenedInvitation,
        hash: &[u8; 32],
        user: UserId,
        email: &Email,
    ) -> Result<(), Error> {
        let ctx = guest(opened, user);
        let event = Event::new("invitation.accepted")
            .target("invitation", opened.invitation.id)
            .target("user", user);
        let mut tx = self.db.write(&ctx).await?;
        let store = &self.store;
        let mut came = store.accept_in(&mut tx, hash, user, email, false).await?;
        if came == Acceptance::KeptOut && self.may_let_in(opened).await? {
            came = store.accept_in(&mut tx, hash, user, email, true).await?;
        }
        if came == Acceptance::KeptOut {
            drop(tx);
            let message =
                "you are deactivated in this tenant, and this invitation can't change that";
            let error = Error::new(ErrorKind::Denied, "member_deactivated", message);
            return Err(recorded(&*self.audit, &ctx, event, error).await);
        }
        let (inviter, roles) = (opened.invited_by, &opened.invitation.roles);
        self.roles
            .assign_invited_in(&mut tx, user, inviter, roles)
            .await
            .map_err(exceeding)?;
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    /// Whether the inviter may let a member in whom somebody keeps out.
    async fn may_let_in(&self, opened: &OpenedInvitation) -> Result<bool, Error> {
        let inviter = guest(opened, opened.invited_by);
        let mut tx = self.db.aside(&inviter).await?;
        let manage = perm::MembersManage::KEY;
        let decision = self.authorizer.check_in(&mut tx, &manage).await?;
        Ok(decision.is_allowed())
    }
}

/// The context in which somebody acts who may not be a member; it does not leave this service.
fn guest(opened: &OpenedInvitation, user: UserId) -> TenantCtx {
    TenantCtx::proven(opened.tenant, Principal::user(user), Access::ReadWrite)
}

/// The recipient's address, if the invitation waits for his answer.
fn addressed<'a>(
    opened: &OpenedInvitation,
    verified: Option<&'a Email>,
) -> Result<&'a Email, Error> {
    if opened.replaced {
        return Err(replaced());
    }
    if opened.invitation.status != InvitationStatus::Pending {
        return Err(ended(opened.invitation.status));
    }
    let Some(email) = verified else {
        let message = "verify your e-mail address first: the invitation is bound to it";
        return Err(Error::new(ErrorKind::Denied, "email_unverified", message));
    };
    if Email::parse(&opened.invitation.email)?.normalised() != email.normalised() {
        return Err(wrong_recipient());
    }
    Ok(email)
}

/// The recipient is told that the inviter's word does not carry so far, not what he lacks.
fn exceeding(error: Error) -> Error {
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    let message = "who invited you may no longer give these roles: ask for a new invitation";
    Error::new(ErrorKind::Denied, "invitation_exceeds_inviter", message).with_source(error)
}
