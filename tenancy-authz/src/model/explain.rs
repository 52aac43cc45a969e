//! Why somebody may or may not do something.

use std::fmt;

use chrono::{DateTime, Utc};
use tenancy_core::{PermissionKey, RoleKey, UserId};

use super::Wildcard;

/// A role that a member has, or had until it ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Grant {
    /// Which role.
    pub role: RoleKey,
    /// Until when; for good, if `None`.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether that moment has passed: it gives nothing any more.
    pub has_ended: bool,
    /// Whether the role grants the permission that was asked for.
    pub grants: bool,
    /// The nearest parent that does, if the role itself does not.
    pub through: Option<RoleKey>,
    /// The wildcard by which it does, if not by name.
    pub wildcard: Option<Wildcard>,
}

impl Grant {
    /// A role, until when, and whether it grants what was asked for.
    pub fn new(role: RoleKey, expires_at: Option<DateTime<Utc>>, grants: bool) -> Self {
        Self {
            role,
            expires_at,
            has_ended: false,
            grants,
            through: None,
            wildcard: None,
        }
    }

    /// Whether it gives the permission now.
    pub fn counts(&self) -> bool {
        self.grants && !self.has_ended
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.role)?;
        let through = self
            .through
            .as_ref()
            .map(|role| format!("through `{role}`"));
        let by = self
            .wildcard
            .as_ref()
            .map(|pattern| format!("by `{pattern}`"));
        let ends = self.expires_at.map(|ends| {
            let word = if self.has_ended { "ended" } else { "until" };
            format!("{word} {}", ends.format("%Y-%m-%dT%H:%M:%SZ"))
        });
        let told: Vec<_> = [through, by, ends].into_iter().flatten().collect();
        if told.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", told.join(", "))
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
    /// The roles he has, then those that ended; in both, those that grant the permission first.
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
        self.member == MemberState::Active && self.roles.iter().any(Grant::counts)
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
        let named = |wanted: &dyn Fn(&Grant) -> bool| {
            let roles = self.roles.iter().filter(|role| wanted(role));
            let roles: Vec<_> = roles.map(ToString::to_string).collect();
            (!roles.is_empty()).then(|| roles.join(", "))
        };
        if let Some(roles) = named(&Grant::counts) {
            return write!(f, "allowed: {user} has `{permission}` by {roles}");
        }
        if let Some(ended) = named(&|role| role.grants) {
            return write!(
                f,
                "denied: what gave {user} `{permission}` has ended: {ended}"
            );
        }
        match named(&|role| !role.has_ended) {
            None => write!(f, "denied: {user} has no role"),
            Some(roles) => write!(
                f,
                "denied: none of {user}'s roles grants `{permission}`: {roles}"
            ),
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
