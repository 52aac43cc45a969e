//! Members and owners as values.

use chrono::{DateTime, Utc};

use crate::{OwnershipOfferId, UserId};

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

/// An owner's offer to give his place to another member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnershipOffer {
    /// The identifier.
    pub id: OwnershipOfferId,
    /// The owner who gives up his place.
    pub from: UserId,
    /// Who gets it, if he accepts.
    pub to: UserId,
    /// Until when it can be accepted, by the database's clock.
    pub expires_at: DateTime<Utc>,
}

/// How an open offer ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OfferAnswer {
    /// Its recipient takes the place.
    Accept,
    /// Its recipient does not want it.
    Decline,
    /// An owner takes it back.
    Revoke,
}

impl OfferAnswer {
    /// The state of an offer that ended so, as the database stores it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::Decline => "declined",
            Self::Revoke => "revoked",
        }
    }
}
