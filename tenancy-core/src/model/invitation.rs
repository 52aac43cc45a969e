//! Invitations as values.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{Email, Error, InvitationId, RoleKey, SecretText};

const A_WEEK: Duration = Duration::from_hours(7 * 24);

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
    /// Its recipient did not want it.
    Declined,
    /// Nobody answered in time; sending it again opens it anew.
    Expired,
    /// Waiting for an answer.
    Pending,
    /// Taken back.
    Revoked,
}

impl InvitationStatus {
    /// Stable text for lists and logs; all but `expired` is what the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Pending => "pending",
            Self::Revoked => "revoked",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Self::Accepted,
            Self::Declined,
            Self::Expired,
            Self::Pending,
            Self::Revoked,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
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
    pub valid_for: Duration,
}

impl NewInvitation {
    /// An invitation that is valid for 7 days.
    pub fn new(email: Email, roles: Vec<RoleKey>) -> Self {
        Self {
            email,
            roles,
            valid_for: A_WEEK,
        }
    }

    /// Sets for how long it can be accepted.
    pub fn with_valid_for(mut self, duration: Duration) -> Self {
        self.valid_for = duration;
        self
    }
}

/// Invitations of many to the same roles.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BulkInvitation {
    /// To whom, as typed or pasted; 500 at most.
    pub emails: Vec<String>,
    /// What the new members will be.
    pub roles: Vec<RoleKey>,
    /// For how long; 7 days by default, 30 at most.
    pub valid_for: Duration,
}

impl BulkInvitation {
    /// Invitations that are valid for 7 days.
    pub fn new(emails: Vec<String>, roles: Vec<RoleKey>) -> Self {
        Self {
            emails,
            roles,
            valid_for: A_WEEK,
        }
    }

    /// Sets for how long they can be accepted.
    pub fn with_valid_for(mut self, duration: Duration) -> Self {
        self.valid_for = duration;
        self
    }
}

/// What became of one address of a [`BulkInvitation`].
#[derive(Debug)]
#[non_exhaustive]
pub struct BulkOutcome {
    /// The address as it was given.
    pub email: String,
    /// The invitation with its token, or why there is none.
    pub result: Result<SentInvitation, Error>,
}

impl BulkOutcome {
    pub(crate) fn new(email: String, result: Result<SentInvitation, Error>) -> Self {
        Self { email, result }
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

/// Which invitations to list: newest first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InvitationPage {
    /// Only those of this state; all, if `None`.
    pub status: Option<InvitationStatus>,
    /// Behind this one; from the newest on, if `None`.
    pub after: Option<InvitationId>,
    /// How many; 50 by default, 200 at most.
    pub limit: u16,
}

impl Default for InvitationPage {
    fn default() -> Self {
        Self {
            status: None,
            after: None,
            limit: 50,
        }
    }
}

impl InvitationPage {
    /// Only those of this state.
    pub fn with_status(mut self, status: InvitationStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// The page behind this invitation.
    pub fn with_after(mut self, after: InvitationId) -> Self {
        self.after = Some(after);
        self
    }

    /// Sets how many.
    pub fn with_limit(mut self, limit: u16) -> Self {
        self.limit = limit.clamp(1, 200);
        self
    }
}
