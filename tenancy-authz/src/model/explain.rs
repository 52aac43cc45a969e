//! Why somebody may or may not do something.

use std::fmt;

use chrono::{DateTime, Utc};
use tenancy_core::{PermissionKey, RoleKey, UserId};

/// A role that a member has.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Grant {
    /// Which role.
    pub role: RoleKey,
    /// Until when; for good, if `None`.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether the role grants the permission that was asked for.
    pub grants: bool,
}

impl Grant {
    /// A role, until when, and whether it grants what was asked for.
    pub fn new(role: RoleKey, expires_at: Option<DateTime<Utc>>, grants: bool) -> Self {
        Self {
            role,
            expires_at,
            grants,
        }
    }
}

/// What a user is to a tenant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MemberState {
    /// An active member of an open tenant.
    Active,
    /// A member who is kept out.
    Deactivated,
    /// No member.
    Stranger,
    /// A member of a tenant that is closed.
    TenantClosed,
}

/// Why a user holds a permission, or why not.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// Who was asked about.
    pub user: UserId,
    /// What was asked for.
    pub permission: PermissionKey,
    /// Whether somebody registered it.
    pub is_registered: bool,
    /// What the user is to the tenant.
    pub member: MemberState,
    /// The roles he has now, those that grant the permission first.
    pub roles: Vec<Grant>,
}

impl Explanation {
    /// What was asked, before anything was found.
    pub fn new(user: UserId, permission: PermissionKey) -> Self {
        let (is_registered, member, roles) = (false, MemberState::Stranger, Vec::new());
        Self {
            user,
            permission,
            is_registered,
            member,
            roles,
        }
    }

    /// Whether the user holds the permission.
    pub fn is_allowed(&self) -> bool {
        self.member == MemberState::Active && self.roles.iter().any(|role| role.grants)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            user, permission, ..
        } = self;
        if !self.is_registered {
            return write!(f, "denied: nobody registered the permission `{permission}`");
        }
        match self.member {
            MemberState::Stranger => return write!(f, "denied: {user} is no member"),
            MemberState::Deactivated => return write!(f, "denied: {user} is deactivated"),
            MemberState::TenantClosed => return write!(f, "denied: the tenant is closed"),
            MemberState::Active => {}
        }
        let named = |grants: bool| {
            let roles = self.roles.iter().filter(|role| role.grants == grants);
            roles
                .map(|role| format!("`{}`", role.role))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (self.is_allowed(), self.roles.is_empty()) {
            (true, _) => write!(f, "allowed: {user} has `{permission}` by {}", named(true)),
            (false, true) => write!(f, "denied: {user} has no role"),
            (false, false) => {
                write!(
                    f,
                    "denied: none of {user}'s roles grants `{permission}`: {}",
                    named(false)
                )
            }
        }
    }
}

/// A member who holds a permission.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Holder {
    /// Who.
    pub user: UserId,
    /// By which roles, sorted.
    pub roles: Vec<RoleKey>,
}

impl Holder {
    /// A member and the roles that give him the permission.
    pub fn new(user: UserId, roles: Vec<RoleKey>) -> Self {
        Self { user, roles }
    }
}
