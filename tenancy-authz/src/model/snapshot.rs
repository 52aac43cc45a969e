//! What one user may do in one tenant, at one moment.

use std::time::Duration;

use tenancy_core::{PermissionKey, RoleKey};

use super::PermissionSet;

/// Changes with every change of a tenant's rights, and is never what it was before: on Postgres the time of the
/// change in microseconds, or one more than the epoch before where that is later.
pub type Epoch = i64;

/// What one user may do in one tenant, as the database said in one statement.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The tenant's epoch at that moment; 0 if there is no such tenant.
    pub epoch: Epoch,
    /// Whether the user was an active member of a tenant that is open.
    pub is_member: bool,
    /// The roles he had, sorted.
    pub roles: Vec<RoleKey>,
    /// What they grant together.
    pub permissions: PermissionSet,
    /// How long until the first of the roles ends by the clock, which changes no epoch.
    pub valid_for: Option<Duration>,
}

impl Snapshot {
    /// About how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        let names: usize = self.roles.iter().map(|role| role.as_str().len()).sum();
        size_of::<Self>() + size_of_val(&*self.roles) + names + self.permissions.heap()
    }
}

/// A permission as the registry has it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RegisteredPermission {
    /// The key.
    pub key: PermissionKey,
    /// What it allows, in one line for people.
    pub description: String,
    /// Its place in a [`PermissionSet`]; never given to another permission.
    pub bit: u16,
}

impl RegisteredPermission {
    /// An entry of the registry, for implementors of [`PolicyStore`](crate::PolicyStore).
    pub fn new(key: PermissionKey, description: impl Into<String>, bit: u16) -> Self {
        Self {
            key,
            description: description.into(),
            bit,
        }
    }
}
