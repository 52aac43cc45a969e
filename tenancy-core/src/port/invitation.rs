use async_trait::async_trait;

use crate::{Email, Error, Invitation, InvitationId, NewInvitation, TenantId, TenantTx, UserId};

/// An invitation that a token opens, with what is needed to accept it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenedInvitation {
    /// The tenant that invites.
    pub tenant: TenantId,
    /// The invitation.
    pub invitation: Invitation,
    /// Who invited.
    pub invited_by: UserId,
    /// Whether it has expired, by the database's clock.
    pub expired: bool,
}

/// Stores invitations.
///
/// # Contract
/// Only the SHA-256 of a token is stored. Accepting is a compare-and-set from `pending`.
///
/// # Concurrency
/// Of any number that accept one token, one succeeds.
///
/// # Errors and retry
/// As [`Error::retry`] says.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Honest about being Postgres-shaped: test it on a real database.
#[async_trait]
pub trait InvitationStore: Send + Sync + 'static {
    /// Stores an invitation; an older pending one to the same address is revoked.
    async fn create_in(
        &self,
        tx: &mut TenantTx,
        invitation: &NewInvitation,
        token_hash: &[u8; 32],
    ) -> Result<Invitation, Error>;
    /// The invitation that a token's hash opens, if there is one.
    async fn open(&self, token_hash: &[u8; 32]) -> Result<Option<OpenedInvitation>, Error>;
    /// Accepts it for a user; `false` if it is no longer pending or has expired.
    async fn accept_in(
        &self,
        tx: &mut TenantTx,
        token_hash: &[u8; 32],
        user: UserId,
        email: &Email,
    ) -> Result<bool, Error>;
    /// Takes a pending one back; `false` if it is not pending.
    async fn revoke_in(&self, tx: &mut TenantTx, id: InvitationId) -> Result<bool, Error>;
    /// The newest invitations, at most `limit`.
    async fn list_in(&self, tx: &mut TenantTx, limit: u16) -> Result<Vec<Invitation>, Error>;
}
