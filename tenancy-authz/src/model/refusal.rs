//! Why a store refuses a change, in the words of its functions.

use tenancy_core::Permission as _;

use crate::{Error, ErrorKind, perm::RolesManage};

/// A refusal with what its message names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    Denied,
    Exceeds { permission: String },
    ExpiryPast,
    GrantedOtherwise { by: String },
    LastAdministrator,
    MemberUnknown,
    NotInvited,
    NotSynchronised,
    OwnerKeepsRole,
    ParentCycle { parent: String },
    ParentsTooDeep,
    PermissionUnknown,
    RoleExists,
    RoleFixed,
    RoleRetired,
    RoleUnknown { role: Option<String> },
    TooManyAssignments,
    TooManyParents,
    TooManyRoles,
    TooManyWildcards,
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
            "granted_otherwise" => Self::GrantedOtherwise {
                by: detail.unwrap_or_default(),
            },
            "last_administrator" => Self::LastAdministrator,
            "member_unknown" => Self::MemberUnknown,
            "not_invited" => Self::NotInvited,
            "not_synchronised" => Self::NotSynchronised,
            "owner_keeps_role" => Self::OwnerKeepsRole,
            "parent_cycle" => Self::ParentCycle {
                parent: detail.unwrap_or_default(),
            },
            "parents_too_deep" => Self::ParentsTooDeep,
            "permission_unknown" => Self::PermissionUnknown,
            "role_exists" => Self::RoleExists,
            "role_fixed" => Self::RoleFixed,
            "role_retired" => Self::RoleRetired,
            "role_unknown" => Self::RoleUnknown { role: detail },
            "too_many_assignments" => Self::TooManyAssignments,
            "too_many_parents" => Self::TooManyParents,
            "too_many_roles" => Self::TooManyRoles,
            "too_many_wildcards" => Self::TooManyWildcards,
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
            Self::GrantedOtherwise { .. } => (Kind::GrantedOtherwise, "granted_otherwise"),
            Self::LastAdministrator => (Kind::LastAdministrator, "last_administrator"),
            Self::MemberUnknown => (Kind::MemberUnknown, "member_unknown"),
            Self::NotInvited => (Kind::InvalidInput, "not_invited"),
            Self::NotSynchronised => (Kind::Misconfigured, "permissions_not_registered"),
            Self::OwnerKeepsRole => (Kind::RoleFixed, "owner_keeps_role"),
            Self::ParentCycle { .. } => (Kind::InvalidInput, "parent_cycle"),
            Self::ParentsTooDeep => (Kind::Limit, "parents_too_deep"),
            Self::PermissionUnknown => (Kind::PermissionUnknown, "permission_unknown"),
            Self::RoleExists => (Kind::RoleTaken, "role_exists"),
            Self::RoleFixed => (Kind::RoleFixed, "role_fixed"),
            Self::RoleRetired => (Kind::RoleTaken, "role_retired"),
            Self::RoleUnknown { .. } => (Kind::RoleUnknown, "role_unknown"),
            Self::TooManyAssignments => (Kind::Limit, "too_many_assignments"),
            Self::TooManyParents => (Kind::Limit, "too_many_parents"),
            Self::TooManyRoles => (Kind::Limit, "too_many_roles"),
            Self::TooManyWildcards => (Kind::Limit, "too_many_wildcards"),
        })
    }

    fn message(&self, role: &str) -> String {
        let fixed = match self {
            Self::Exceeds { permission } => {
                return format!(
                    "this involves `{permission}`, which you do not hold, or not for as long"
                );
            }
            Self::GrantedOtherwise { by } => {
                return format!("the role `{role}` grants it by `{by}`: take that away");
            }
            Self::ParentCycle { parent } => {
                return format!("the role `{parent}` stands below `{role}`, or is it");
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
            Self::ParentsTooDeep => "at most 8 roles stand above a role, one over the other",
            Self::PermissionUnknown => "nobody registered this permission",
            Self::RoleFixed => {
                "the role `owner` grants everything, can't be changed and is no parent"
            }
            Self::TooManyAssignments => "a member has at most 200 roles",
            Self::TooManyParents => "a role has at most 20 parents",
            Self::TooManyWildcards => "a role has at most 100 wildcards",
            Self::TooManyRoles => "a tenant has at most 20000 roles",
        };
        fixed.to_owned()
    }
}
