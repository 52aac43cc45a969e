use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    Email, Error, Invitation, InvitationId, InvitationPage, RoleKey, TenantId, TenantStatus,
    TenantTx, UserId,
};

/// An invitation that a token opens, with what is needed to answer it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenedInvitation {
    /// The tenant that invites.
    pub tenant: TenantId,
    /// Where that tenant is in its life.
    pub tenant_status: TenantStatus,
    /// The invitation.
    pub invitation: Invitation,
    /// On whose word it stands.
    pub invited_by: UserId,
    /// Who accepted it.
    pub accepted_by: Option<UserId>,
    /// Whether a newer token was sent, so that this one opens nothing.
    pub replaced: bool,
}

/// Invitations to be stored, all to the same roles.
#[derive(Debug)]
#[non_exhaustive]
pub struct InvitationBatch {
    /// To whom, each with the hash of its token.
    pub recipients: Vec<(Email, [u8; 32])>,
    /// What the new members will be.
    pub roles: Vec<RoleKey>,
    /// What bounds them.
    pub bounds: InvitationBounds,
}

/// What bounds the sending of an invitation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InvitationBounds {
    /// For how long it can be accepted.
    pub valid_for: Duration,
    /// How many of a tenant may wait for an answer.
    pub most_pending: u64,
    /// How often one address may be written to within an hour.
    pub sends_an_hour: u64,
}

/// Whether somebody who accepted an invitation is in now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Acceptance {
    /// He is an active member.
    Joined,
    /// He is a member whom somebody keeps out; nothing was changed.
    KeptOut,
}

/// Stores invitations.
///
/// # Contract
/// Only the SHA-256 of a token is stored. Every answer is a compare-and-set from `pending`; one that
/// comes too late, or from somebody else, is an error with the code of what is in the way:
/// `invitation_used`, `_revoked`, `_declined`, `_expired`, `_replaced` or `_unknown`
/// ([`Conflict`](crate::ErrorKind::Conflict), the last one
/// [`NotFound`](crate::ErrorKind::NotFound)), `invitation_wrong_recipient`
/// ([`Denied`](crate::ErrorKind::Denied)), `tenant_suspended`
/// ([`Suspended`](crate::ErrorKind::Suspended)). What would exceed a bound is
/// [`Limit`](crate::ErrorKind::Limit).
///
/// # Concurrency
/// Of any number of answers to one invitation, one counts. Bounds hold for any number of senders.
///
/// # Errors and retry
/// As [`Error::retry`] says. What is refused leaves its transaction usable and has changed nothing.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// `tenancy_core::testing::conformance` is the suite; it needs a real database.
#[async_trait]
pub trait InvitationStore: Send + Sync + 'static {
    /// Stores invitations, with a result for each recipient; an older pending one to the same
    /// address is revoked.
    async fn create_in(
        &self,
        tx: &mut TenantTx,
        batch: &InvitationBatch,
    ) -> Result<Vec<Result<Invitation, Error>>, Error>;
    /// One invitation.
    async fn get_in(
        &self,
        tx: &mut TenantTx,
        id: InvitationId,
    ) -> Result<Option<Invitation>, Error>;
    /// Gives a pending invitation a new token and a new expiry, which it answers; older tokens
    /// are dead.
    async fn resend_in(
        &self,
        tx: &mut TenantTx,
        id: InvitationId,
        token_hash: &[u8; 32],
        bounds: InvitationBounds,
    ) -> Result<DateTime<Utc>, Error>;
    /// The invitation that a token's hash opens, if there is one.
    async fn open(&self, token_hash: &[u8; 32]) -> Result<Option<OpenedInvitation>, Error>;
    /// Accepts it for a user. One who is kept out comes in again only if `let_in` says that the
    /// inviter may do that.
    async fn accept_in(
        &self,
        tx: &mut TenantTx,
        token_hash: &[u8; 32],
        user: UserId,
        email: &Email,
        let_in: bool,
    ) -> Result<Acceptance, Error>;
    /// Declines it for a user.
    async fn decline_in(
        &self,
        tx: &mut TenantTx,
        token_hash: &[u8; 32],
        user: UserId,
        email: &Email,
    ) -> Result<(), Error>;
    /// Takes a pending one back; `false` if it is not pending.
    async fn revoke_in(&self, tx: &mut TenantTx, id: InvitationId) -> Result<bool, Error>;
    /// A page of invitations, newest first.
    async fn list_in(
        &self,
        tx: &mut TenantTx,
        page: &InvitationPage,
    ) -> Result<Vec<Invitation>, Error>;
}
