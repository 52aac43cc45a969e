//! Changes of a tenant's policy, and what the audit log says of them.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tenancy_core::{Event, PermissionKey, RoleKey, UserId};

use super::RoleName;

/// One change of a tenant's roles, grants or assignments.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Gives a role to a member, or changes until when he has it.
    Assign {
        /// Who.
        member: UserId,
        /// Which role.
        role: RoleKey,
        /// Until when; for good, if `None`.
        expires_at: Option<DateTime<Utc>>,
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
    /// Changes a role's name.
    Rename {
        /// Which role.
        role: RoleKey,
        /// The new name.
        name: RoleName,
    },
    /// Lets a role no longer grant a permission.
    Revoke {
        /// Which role.
        role: RoleKey,
        /// What.
        permission: PermissionKey,
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

impl Change {
    /// The role that is changed.
    pub fn role(&self) -> &RoleKey {
        match self {
            Self::Assign { role, .. }
            | Self::Create { role, .. }
            | Self::Delete { role }
            | Self::Grant { role, .. }
            | Self::Rename { role, .. }
            | Self::Revoke { role, .. }
            | Self::Unassign { role, .. } => role,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::Assign { .. } => "role.assigned",
            Self::Create { .. } => "role.created",
            Self::Delete { .. } => "role.deleted",
            Self::Grant { .. } => "role.permission_granted",
            Self::Rename { .. } => "role.renamed",
            Self::Revoke { .. } => "role.permission_revoked",
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
            Self::Delete { .. } => (event, before, Value::Null),
            Self::Grant { permission, .. } => granted(event, permission, true),
            Self::Revoke { permission, .. } => granted(event, permission, false),
        };
        event.meta("before", before).meta("after", after)
    }
}

fn granted(event: Event, permission: &PermissionKey, now: bool) -> (Event, Value, Value) {
    let event = event.target("permission", permission);
    (event, json!({ "granted": !now }), json!({ "granted": now }))
}
