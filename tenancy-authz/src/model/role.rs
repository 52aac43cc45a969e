//! Roles as values.

use serde::{Deserialize, Serialize};
use tenancy_core::{InvalidInput, PermissionKey, RoleKey};

use super::Wildcard;

/// A role's name for people: 1 to 100 characters, none of them a control character.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(String);

impl RoleName {
    const MAX: usize = 100;

    /// Parses a name; white space around it is dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let name = text.trim();
        let fits = (1..=Self::MAX).contains(&name.chars().count());
        if fits && !name.chars().any(char::is_control) {
            return Ok(Self(name.to_owned()));
        }
        let message = format!(
            "`{}` is no name for a role: use 1 to {} characters, without control characters",
            InvalidInput::quote(text),
            Self::MAX
        );
        Err(InvalidInput::new("role_name_invalid", message))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoleName {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        Self::parse(&text)
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0
    }
}

/// A role to be made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewRole {
    /// Its key: never changed, and never used again once the role is deleted.
    pub key: RoleKey,
    /// Its name for people.
    pub name: RoleName,
    /// What it grants from the start.
    pub permissions: Vec<PermissionKey>,
    /// Below which prefixes it grants everything.
    pub wildcards: Vec<Wildcard>,
    /// The roles whose permissions it grants too.
    pub parents: Vec<RoleKey>,
}

impl NewRole {
    /// A role that grants nothing yet.
    pub fn new(key: RoleKey, name: RoleName) -> Self {
        Self {
            key,
            name,
            permissions: Vec::new(),
            wildcards: Vec::new(),
            parents: Vec::new(),
        }
    }

    /// Adds a permission.
    pub fn with_permission(mut self, permission: PermissionKey) -> Self {
        self.permissions.push(permission);
        self
    }

    /// Adds everything below a prefix.
    pub fn with_wildcard(mut self, wildcard: Wildcard) -> Self {
        self.wildcards.push(wildcard);
        self
    }

    /// Adds what another role grants, now and later.
    pub fn with_parent(mut self, parent: RoleKey) -> Self {
        self.parents.push(parent);
        self
    }
}

/// A role of a tenant.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Role {
    /// Its key.
    pub key: RoleKey,
    /// Its name for people.
    pub name: String,
    /// Whether it was made from a template, and so is granted what is registered later.
    pub is_system: bool,
    /// How many permissions it grants.
    pub permission_count: u32,
}

impl Role {
    /// A role as a store returns it, for implementors of [`PolicyStore`](crate::PolicyStore).
    pub fn new(
        key: RoleKey,
        name: impl Into<String>,
        is_system: bool,
        permission_count: u32,
    ) -> Self {
        Self {
            key,
            name: name.into(),
            is_system,
            permission_count,
        }
    }
}

/// Which part of a long list is wanted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RolePage {
    /// Roles whose key sorts behind this one; from the beginning, if `None`.
    pub after: Option<RoleKey>,
    /// At most so many; 200 by default and at most.
    pub limit: u16,
}

impl RolePage {
    pub(crate) const MAX: u16 = 200;

    /// What follows the role given.
    pub fn after(mut self, role: RoleKey) -> Self {
        self.after = Some(role);
        self
    }

    /// At most so many, 1 to 200.
    pub fn limit(mut self, limit: u16) -> Self {
        self.limit = limit.clamp(1, Self::MAX);
        self
    }
}

impl Default for RolePage {
    fn default() -> Self {
        Self {
            after: None,
            limit: Self::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RoleName;

    #[test]
    fn a_name_is_short_and_printable() {
        assert_eq!(
            RoleName::parse("  Night shift ").unwrap().as_str(),
            "Night shift"
        );
        for bad in ["", "  ", "a\0b", "a\nb", &"x".repeat(101)] {
            assert_eq!(
                RoleName::parse(bad).unwrap_err().code(),
                "role_name_invalid",
                "{bad}"
            );
        }
    }
}
