//! Support's way into a tenant, as values.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{ImpersonationId, TenantId, UserId};

/// An owner's consent that the platform's support staff may look into the tenant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupportGrant {
    /// For how long; a week at most.
    pub valid_for: Duration,
    /// Whether they may change anything; they may only read by default.
    pub may_write: bool,
    /// Whether they may act for an owner; only for other members by default.
    pub may_be_owner: bool,
}

impl SupportGrant {
    /// Reading, as any member but an owner.
    pub fn new(valid_for: Duration) -> Self {
        Self {
            valid_for,
            may_write: false,
            may_be_owner: false,
        }
    }

    /// Lets them change things, too.
    pub fn with_writes(mut self) -> Self {
        self.may_write = true;
        self
    }

    /// Lets them act for owners, too.
    pub fn with_owners(mut self) -> Self {
        self.may_be_owner = true;
        self
    }
}

/// A session in which support acts for a member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewImpersonation {
    /// In which tenant.
    pub tenant: TenantId,
    /// Who acts: the person as the host's login says, one of the support staff.
    pub support: UserId,
    /// For whom he acts.
    pub member: UserId,
    /// Why, for the tenant to read: 10 to 500 characters.
    pub reason: String,
    /// For how long; an hour by default, 8 at most, and never beyond the tenant's consent.
    pub valid_for: Duration,
}

impl NewImpersonation {
    /// A session of an hour.
    pub fn new(
        tenant: TenantId,
        support: UserId,
        member: UserId,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            tenant,
            support,
            member,
            reason: reason.into(),
            valid_for: Duration::from_hours(1),
        }
    }

    /// Sets for how long.
    pub fn with_valid_for(mut self, duration: Duration) -> Self {
        self.valid_for = duration;
        self
    }
}

/// A session of support, as the tenant sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Impersonation {
    /// The identifier.
    pub id: ImpersonationId,
    /// Who acts.
    pub support: UserId,
    /// For whom.
    pub member: UserId,
    /// Why.
    pub reason: String,
    /// Since when, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Until when at most.
    pub expires_at: DateTime<Utc>,
    /// When it was ended, if it was ended early.
    pub ended_at: Option<DateTime<Utc>>,
}
