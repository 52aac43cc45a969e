//! Changes of a tenant's policy, and what the audit log says of them.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tenancy_core::{Event, PermissionKey, RoleKey, UserId};

use super::{RoleName, Wildcard};
use crate::Error;

/// One change of a tenant's roles, grants or assignments.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Lets a role grant what another one grants, now and later.
    AddParent {
        /// Which role.
        role: RoleKey,
        /// Above it.
        parent: RoleKey,
    },
    /// Gives a role to a member, or changes until when he has it.
    Assign {
        /// Who.
        member: UserId,
        /// Which role.
        role: RoleKey,
        /// Until when; for good, if `None`.
        expires_at: Option<DateTime<Utc>>,
    },
    /// Makes a role that grants what another one grants, by the same names, wildcards and parents.
    Clone {
        /// Its key.
        role: RoleKey,
        /// Its name.
        name: RoleName,
        /// The one that is cloned.
        from: RoleKey,
    },
    /// Makes a role that grants nothing yet.
    Create {
        /// Its key.
        role: RoleKey,
        /// Its name.
        name: RoleName,
    },
    /// Deletes a role with its grants and assignments; its key is never used again.
    Delete {
        /// Which role.
        role: RoleKey,
    },
    /// Lets a role grant a permission.
    Grant {
        /// Which role.
        role: RoleKey,
        /// What.
        permission: PermissionKey,
    },
    /// Lets a role grant every permission below a prefix, also those that are registered later.
    GrantWildcard {
        /// Which role.
        role: RoleKey,
        /// What.
        wildcard: Wildcard,
    },
    /// Lets a role no longer grant what another one grants.
    RemoveParent {
        /// Which role.
        role: RoleKey,
        /// Above it.
        parent: RoleKey,
    },
    /// Changes a role's name.
    Rename {
        /// Which role.
        role: RoleKey,
        /// The new name.
        name: RoleName,
    },
    /// Lets a role no longer grant a permission by name. What a wildcard or a parent brings stays.
    Revoke {
        /// Which role.
        role: RoleKey,
        /// What.
        permission: PermissionKey,
    },
    /// Takes a wildcard from a role.
    RevokeWildcard {
        /// Which role.
        role: RoleKey,
        /// What.
        wildcard: Wildcard,
    },
    /// Takes a role from a member.
    Unassign {
        /// Who.
        member: UserId,
        /// Which role.
        role: RoleKey,
    },
}

/// What a change did.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Applied {
    /// It was done; how things were before, as far as the change does not say it itself.
    Changed(Value),
    /// Everything was so already: there is nothing to record.
    Unchanged,
}

/// Why several changes were not made, and which of them is in the way.
#[derive(Debug)]
#[non_exhaustive]
pub struct RefusedChange {
    /// Its place among them; none, if it is not one of them alone.
    pub at: Option<usize>,
    /// Why.
    pub error: Error,
}

impl RefusedChange {
    /// It is none of them alone.
    pub fn none(error: Error) -> Self {
        Self { at: None, error }
    }

    /// It is this one.
    pub fn at(at: usize, error: Error) -> Self {
        Self {
            at: Some(at),
            error,
        }
    }
}

impl Change {
    /// The role that is changed.
    pub fn role(&self) -> &RoleKey {
        match self {
            Self::AddParent { role, .. }
            | Self::Assign { role, .. }
            | Self::Clone { role, .. }
            | Self::Create { role, .. }
            | Self::Delete { role }
            | Self::Grant { role, .. }
            | Self::GrantWildcard { role, .. }
            | Self::RemoveParent { role, .. }
            | Self::Rename { role, .. }
            | Self::Revoke { role, .. }
            | Self::RevokeWildcard { role, .. }
            | Self::Unassign { role, .. } => role,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::AddParent { .. } => "role.parent_added",
            Self::Assign { .. } => "role.assigned",
            Self::Clone { .. } => "role.cloned",
            Self::Create { .. } => "role.created",
            Self::Delete { .. } => "role.deleted",
            Self::Grant { .. } => "role.permission_granted",
            Self::GrantWildcard { .. } => "role.wildcard_granted",
            Self::RemoveParent { .. } => "role.parent_removed",
            Self::Rename { .. } => "role.renamed",
            Self::Revoke { .. } => "role.permission_revoked",
            Self::RevokeWildcard { .. } => "role.wildcard_revoked",
            Self::Unassign { .. } => "role.unassigned",
        }
    }

    /// The audit entry of the change, with how it was before and how it is after.
    pub(crate) fn event(&self, before: Value) -> Event {
        let event = Event::new(self.action()).target("role", self.role());
        let (event, before, after) = match self {
            Self::Assign {
                member, expires_at, ..
            } => (
                event.target("user", member),
                before,
                json!({ "expires_at": expires_at }),
            ),
            Self::Unassign { member, .. } => (event.target("user", member), before, Value::Null),
            Self::Create { name, .. } | Self::Rename { name, .. } => {
                (event, before, json!({ "name": name.as_str() }))
            }
            Self::Clone { name, from, .. } => (
                event,
                before,
                json!({ "name": name.as_str(), "from": from }),
            ),
            Self::Delete { .. } => (event, before, Value::Null),
            Self::Grant { permission, .. } => (
                event.target("permission", permission),
                before,
                json!({ "granted": true }),
            ),
            Self::Revoke { permission, .. } => {
                let still_by = before.get("still_by").cloned().unwrap_or_default();
                let after = match still_by {
                    Value::Null => json!({ "granted": false }),
                    by => json!({ "granted": true, "by": by }),
                };
                let event = event.target("permission", permission);
                (event, json!({ "granted": true }), after)
            }
            Self::GrantWildcard { wildcard, .. } => (
                event.target("wildcard", wildcard),
                before,
                json!({ "granted": true }),
            ),
            Self::RevokeWildcard { wildcard, .. } => (
                event.target("wildcard", wildcard),
                before,
                json!({ "granted": false }),
            ),
            Self::AddParent { parent, .. } => (
                event.target("parent", parent),
                before,
                json!({ "parent": true }),
            ),
            Self::RemoveParent { parent, .. } => (
                event.target("parent", parent),
                before,
                json!({ "parent": false }),
            ),
        };
        event.meta("before", before).meta("after", after)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role();
        match self {
            Self::AddParent { parent, .. } => write!(f, "~ role {role}: + parent {parent}"),
            Self::Assign {
                member, expires_at, ..
            } => match expires_at {
                Some(ends) => write!(f, "~ member {member}: + {role} until {}", ends.to_rfc3339()),
                None => write!(f, "~ member {member}: + {role}"),
            },
            Self::Clone { name, from, .. } => {
                write!(f, "+ role {role} ({}) like {from}", name.as_str())
            }
            Self::Create { name, .. } => write!(f, "+ role {role} ({})", name.as_str()),
            Self::Delete { .. } => write!(f, "- role {role}"),
            Self::Grant { permission, .. } => write!(f, "~ role {role}: + {permission}"),
            Self::GrantWildcard { wildcard, .. } => write!(f, "~ role {role}: + {wildcard}"),
            Self::RemoveParent { parent, .. } => write!(f, "~ role {role}: - parent {parent}"),
            Self::Rename { name, .. } => write!(f, "~ role {role}: name {}", name.as_str()),
            Self::Revoke { permission, .. } => write!(f, "~ role {role}: - {permission}"),
            Self::RevokeWildcard { wildcard, .. } => write!(f, "~ role {role}: - {wildcard}"),
            Self::Unassign { member, .. } => write!(f, "~ member {member}: - {role}"),
        }
    }
}
