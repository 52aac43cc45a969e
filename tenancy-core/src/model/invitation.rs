//! Invitations as values.

use chrono::{DateTime, Utc};

use crate::{Email, InvitationId, RoleKey, SecretText};

/// An offer to become a member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invitation {
    /// The identifier.
    pub id: InvitationId,
    /// To which address, as typed.
    pub email: String,
    /// What the new member will be.
    pub roles: Vec<RoleKey>,
    /// What became of it.
    pub status: InvitationStatus,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// What became of an invitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvitationStatus {
    /// Accepted, once.
    Accepted,
    /// Waiting; it may have expired.
    Pending,
    /// Taken back.
    Revoked,
}

impl InvitationStatus {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Pending => "pending",
            Self::Revoked => "revoked",
        }
    }
}

/// An invitation to be made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewInvitation {
    /// To whom; only this address can accept.
    pub email: Email,
    /// What the new member will be.
    pub roles: Vec<RoleKey>,
    /// For how long; 7 days by default, 30 at most.
    pub valid_for: std::time::Duration,
}

impl NewInvitation {
    /// An invitation that is valid for 7 days.
    pub fn new(email: Email, roles: Vec<RoleKey>) -> Self {
        Self {
            email,
            roles,
            valid_for: std::time::Duration::from_hours(7 * 24),
        }
    }

    /// Sets for how long it can be accepted.
    pub fn with_valid_for(mut self, duration: std::time::Duration) -> Self {
        self.valid_for = duration;
        self
    }
}

/// An invitation and the token that accepts it, which is shown this once: only its hash is stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct SentInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// The token to send.
    pub token: SecretText,
}
