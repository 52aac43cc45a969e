//! Why a store refuses a change, in the words of its functions.

use tenancy_core::Permission as _;

use crate::{Error, ErrorKind, perm::RolesManage};

/// A refusal with what its message names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    Denied,
    Exceeds { permission: String },
    ExpiryPast,
    LastAdministrator,
    MemberUnknown,
    NotInvited,
    NotSynchronised,
    OwnerKeepsRole,
    PermissionUnknown,
    RoleExists,
    RoleFixed,
    RoleRetired,
    RoleUnknown { role: Option<String> },
    TooManyAssignments,
    TooManyRoles,
}

impl Refusal {
    /// Reads a word of the database; `None` if it is none of ours.
    pub(crate) fn parse(word: &str, detail: Option<String>) -> Option<Self> {
        Some(match word {
            "denied" => Self::Denied,
            "exceeds" => Self::Exceeds {
                permission: detail.unwrap_or_default(),
            },
            "expiry_past" => Self::ExpiryPast,
            "last_administrator" => Self::LastAdministrator,
            "member_unknown" => Self::MemberUnknown,
            "not_invited" => Self::NotInvited,
            "not_synchronised" => Self::NotSynchronised,
            "owner_keeps_role" => Self::OwnerKeepsRole,
            "permission_unknown" => Self::PermissionUnknown,
            "role_exists" => Self::RoleExists,
            "role_fixed" => Self::RoleFixed,
            "role_retired" => Self::RoleRetired,
            "role_unknown" => Self::RoleUnknown { role: detail },
            "too_many_assignments" => Self::TooManyAssignments,
            "too_many_roles" => Self::TooManyRoles,
            _ => return None,
        })
    }

    /// The error that says so of a change of this role.
    pub(crate) fn into_error(self, role: &str) -> Error {
        match self.class() {
            None => tenancy_core::Error::denied(&RolesManage::KEY).into(),
            Some((kind, code)) => {
                let error = Error::new(kind, code, self.message(role));
                // Whoever asks a store to change something records this attempt.
                match kind {
                    ErrorKind::Exceeds => error.on_record(),
                    _ => error,
                }
            }
        }
    }

    /// Kind and code; none where the core has an error for it.
    fn class(&self) -> Option<(ErrorKind, &'static str)> {
        use ErrorKind as Kind;
        Some(match self {
            Self::Denied => return None,
            Self::Exceeds { .. } => (Kind::Exceeds, "exceeds_own_permissions"),
            Self::ExpiryPast => (Kind::InvalidInput, "expiry_past"),
            Self::LastAdministrator => (Kind::LastAdministrator, "last_administrator"),
            Self::MemberUnknown => (Kind::MemberUnknown, "member_unknown"),
            Self::NotInvited => (Kind::InvalidInput, "not_invited"),
            Self::NotSynchronised => (Kind::Misconfigured, "permissions_not_registered"),
            Self::OwnerKeepsRole => (Kind::RoleFixed, "owner_keeps_role"),
            Self::PermissionUnknown => (Kind::PermissionUnknown, "permission_unknown"),
            Self::RoleExists => (Kind::RoleTaken, "role_exists"),
            Self::RoleFixed => (Kind::RoleFixed, "role_fixed"),
            Self::RoleRetired => (Kind::RoleTaken, "role_retired"),
            Self::RoleUnknown { .. } => (Kind::RoleUnknown, "role_unknown"),
            Self::TooManyAssignments => (Kind::Limit, "too_many_assignments"),
            Self::TooManyRoles => (Kind::Limit, "too_many_roles"),
        })
    }

    fn message(&self, role: &str) -> String {
        let fixed = match self {
            Self::Exceeds { permission } => {
                return format!(
                    "this involves the permission `{permission}`, which you do not hold, or not for as long"
                );
            }
            Self::RoleExists => return format!("there is a role `{role}` already"),
            Self::RoleRetired => {
                return format!("a deleted role had the key `{role}`: choose another");
            }
            Self::RoleUnknown { role: named } => {
                return format!("there is no role `{}`", named.as_deref().unwrap_or(role));
            }
            Self::Denied => "the permission `roles.manage` is missing",
            Self::ExpiryPast => "the moment at which the role would end has passed",
            Self::LastAdministrator => {
                "nobody would be left to manage the roles of the tenant for good"
            }
            Self::MemberUnknown => "the user is no such member of the tenant",
            Self::NotInvited => "there is no accepted invitation to these roles",
            Self::NotSynchronised => "no role templates are registered: run `tenancy migrate`",
            Self::OwnerKeepsRole => "an owner of the tenant keeps the role `owner` for good",
            Self::PermissionUnknown => "nobody registered this permission",
            Self::RoleFixed => "the role `owner` grants everything and can't be changed",
            Self::TooManyAssignments => "a member has at most 200 roles",
            Self::TooManyRoles => "a tenant has at most 20000 roles",
        };
        fixed.to_owned()
    }
}
