//! How people become members.

use std::{sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};

use super::members::MAX_ROLES;
use crate::{
    Access, AuditSink, Authorizer, AuthorizerExt as _, Email, Error, ErrorKind, Event, Invitation,
    InvitationId, InvitationStatus, InvitationStore, NewInvitation, OpenedInvitation, PgStore,
    Principal, RoleDirectory, SecretText, SentInvitation, TenantCtx, TenantDb, UserId, perm,
};

const MAX_VALIDITY: Duration = Duration::from_hours(30 * 24);

/// Invites people by e-mail and lets them accept.
///
/// The token has 32 random bytes, is shown once, and only its SHA-256 is stored. It works once,
/// for the invited address, until it expires or is revoked. Sending it is the host's.
#[derive(Clone)]
pub struct Invitations {
    db: TenantDb,
    store: Arc<dyn InvitationStore>,
    authorizer: Arc<dyn Authorizer>,
    roles: Arc<dyn RoleDirectory>,
    audit: Arc<dyn AuditSink>,
}

impl Invitations {
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

    /// Invites somebody. An older pending invitation to the same address stops working.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `members.invite`, or if a role would give more than
    /// the inviter has; [`NotFound`](ErrorKind::NotFound) for an unknown role;
    /// [`InvalidInput`](ErrorKind::InvalidInput) without roles, with more than 20, for less than a
    /// minute or more than 30 days, or by a principal that is no user.
    pub async fn invite(
        &self,
        ctx: &TenantCtx,
        invitation: NewInvitation,
    ) -> Result<SentInvitation, Error> {
        check(ctx, &invitation)?;
        let (token, hash) = new_token()?;
        let mut tx = self.db.write(ctx).await?;
        self.authorizer
            .require_in(&mut tx, perm::MembersInvite::get())
            .await?;
        self.roles.may_grant_in(&mut tx, &invitation.roles).await?;
        let stored = self.store.create_in(&mut tx, &invitation, &hash).await?;
        let roles: Vec<&str> = invitation.roles.iter().map(AsRef::as_ref).collect();
        let event = Event::new("invitation.created")
            .target("invitation", stored.id)
            .meta("roles", roles);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(SentInvitation {
            invitation: stored,
            token,
        })
    }

    /// Accepts an invitation for a user whose verified address is `email`, and enters the tenant.
    ///
    /// # Errors
    /// Each with a code of its own: [`NotFound`](ErrorKind::NotFound) `invitation_unknown`;
    /// [`Conflict`](ErrorKind::Conflict) `invitation_used`, `invitation_revoked` or
    /// `invitation_expired`; [`Denied`](ErrorKind::Denied) `invitation_wrong_recipient`.
    pub async fn accept(
        &self,
        token: &str,
        user: UserId,
        email: &Email,
    ) -> Result<TenantCtx, Error> {
        let hash = hash_of(token);
        let opened = self.store.open(&hash).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "invitation_unknown",
                "this invitation does not exist",
            )
        })?;
        acceptable(&opened, email)?;
        let ctx = TenantCtx::proven(opened.tenant, Principal::user(user), Access::ReadWrite);
        let mut tx = self.db.write(&ctx).await?;
        if !self.store.accept_in(&mut tx, &hash, user, email).await? {
            return Err(used());
        }
        let roles = &opened.invitation.roles;
        self.roles
            .assign_invited_in(&mut tx, user, opened.invited_by, roles)
            .await?;
        let event = Event::new("invitation.accepted")
            .target("invitation", opened.invitation.id)
            .target("user", user);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        self.db.enter(opened.tenant, user).await
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
            let message = "there is no such pending invitation";
            return Err(Error::new(
                ErrorKind::NotFound,
                "invitation_unknown",
                message,
            ));
        }
        self.audit
            .record_in(
                &mut tx,
                Event::new("invitation.revoked").target("invitation", id),
            )
            .await?;
        tx.commit().await
    }

    /// The newest 200 invitations.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `members.read`.
    pub async fn list(&self, ctx: &TenantCtx) -> Result<Vec<Invitation>, Error> {
        self.authorizer
            .require(ctx, perm::MembersRead::get())
            .await?;
        self.store.list_in(&mut self.db.read(ctx).await?, 200).await
    }
}

impl std::fmt::Debug for Invitations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invitations").finish_non_exhaustive()
    }
}

fn check(ctx: &TenantCtx, invitation: &NewInvitation) -> Result<(), Error> {
    if ctx.user().is_none() {
        return Err(Error::invalid(
            "inviter_not_a_user",
            "only a user can invite",
        ));
    }
    if invitation.roles.is_empty() || invitation.roles.len() > MAX_ROLES {
        let message = format!("an invitation names 1 to {MAX_ROLES} roles");
        return Err(Error::invalid("invitation_roles", message));
    }
    if !(Duration::from_mins(1)..=MAX_VALIDITY).contains(&invitation.valid_for) {
        let message = "an invitation is valid for at least a minute and at most 30 days";
        return Err(Error::invalid("invitation_validity", message));
    }
    Ok(())
}

fn acceptable(opened: &OpenedInvitation, email: &Email) -> Result<(), Error> {
    let conflict = |code, message| Err(Error::new(ErrorKind::Conflict, code, message));
    match opened.invitation.status {
        InvitationStatus::Accepted => return Err(used()),
        InvitationStatus::Revoked => {
            return conflict("invitation_revoked", "this invitation was taken back");
        }
        InvitationStatus::Pending => {}
    }
    if opened.expired {
        return conflict(
            "invitation_expired",
            "this invitation has expired: ask for a new one",
        );
    }
    if Email::parse(&opened.invitation.email)?.normalised() != email.normalised() {
        let message = "this invitation is for another e-mail address";
        return Err(Error::new(
            ErrorKind::Denied,
            "invitation_wrong_recipient",
            message,
        ));
    }
    Ok(())
}

fn used() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "invitation_used",
        "this invitation was accepted already",
    )
}

/// 32 random bytes as 64 hexadecimal digits, and the hash that is stored.
fn new_token() -> Result<(SecretText, [u8; 32]), Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| {
        Error::new(
            ErrorKind::Unavailable,
            "randomness",
            "the system gives no random bytes",
        )
    })?;
    let token = hex::encode(bytes);
    let hash = hash_of(&token);
    Ok((SecretText::new(token), hash))
}

fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
