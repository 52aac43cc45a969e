//! Tenants, members and invitations as values.

use chrono::{DateTime, Utc};

use crate::{Email, InvitationId, RoleKey, SecretText, Slug, TenantId, TenantName, UserId};

/// A customer of the host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tenant {
    /// The identifier.
    pub id: TenantId,
    /// Its name in addresses; unique across tenants.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Where it is in its life.
    pub status: TenantStatus,
    /// When it was created, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Where a tenant is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TenantStatus {
    /// Open for business.
    Active,
    /// Suspended: members may read, nobody may write.
    SuspendedReadOnly,
    /// Suspended: nobody may enter.
    SuspendedBlocked,
    /// Deletion is scheduled; until then it can be taken back.
    Deleting,
    /// Gone.
    Deleted,
}

impl TenantStatus {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::SuspendedReadOnly => "suspended_read_only",
            Self::SuspendedBlocked => "suspended_blocked",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Self::Active,
            Self::SuspendedReadOnly,
            Self::SuspendedBlocked,
            Self::Deleting,
            Self::Deleted,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
    }
}

/// How far a suspended tenant is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Suspension {
    /// Members may still read.
    ReadOnly,
    /// Nobody may enter.
    Blocked,
}

/// A tenant to be created.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewTenant {
    /// The identifier; minted by [`new`](Self::new).
    pub id: TenantId,
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: TenantName,
    /// Its first owner.
    pub owner: UserId,
}

impl NewTenant {
    /// A tenant with a fresh identifier.
    pub fn new(slug: Slug, name: TenantName, owner: UserId) -> Self {
        Self {
            id: TenantId::new(),
            slug,
            name,
            owner,
        }
    }

    /// Takes over an identifier that the host has already.
    pub fn with_id(mut self, id: TenantId) -> Self {
        self.id = id;
        self
    }
}

/// A user's place in a tenant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Whether he may enter.
    pub status: MemberStatus,
    /// Whether he is one of the tenant's owners; there is always at least one who is active.
    pub is_owner: bool,
    /// Since when, by the database's clock.
    pub joined_at: DateTime<Utc>,
}

/// Whether a member may enter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MemberStatus {
    /// He may.
    Active,
    /// He may not; his place and roles are kept.
    Deactivated,
}

impl MemberStatus {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }
}

/// A tenant as one of its members sees it in a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MyTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Whether the user is one of its owners.
    pub is_owner: bool,
}

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
