//! The roles that every tenant begins with.

use serde_json::{Value, json};
use tenancy_core::RoleKey;

/// A role that every tenant is seeded with. Which permissions it grants is said by each
/// permission's definition; `owner` and `admin` grant all.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoleTemplate {
    /// The key of the role in every tenant.
    pub key: RoleKey,
    /// Its name, which a tenant may change.
    pub name: &'static str,
}

impl RoleTemplate {
    const fn new(key: &'static str, name: &'static str) -> Self {
        Self {
            key: RoleKey::from_static(key),
            name,
        }
    }
}

/// The role that grants everything, can't be changed, and stays with the owners of the tenant.
pub(crate) const OWNER: &str = "owner";

/// The templates.
pub const TEMPLATES: &[RoleTemplate] = &[
    RoleTemplate::new(OWNER, "Owner"),
    RoleTemplate::new("admin", "Administrator"),
    RoleTemplate::new("member", "Member"),
    RoleTemplate::new("support", "Support"),
    RoleTemplate::new("viewer", "Viewer"),
];

/// The templates that grant every permission without being named.
pub(crate) const ALL_PERMISSIONS: &[&str] = &[OWNER, "admin"];

pub(crate) fn templates_as_json() -> Value {
    TEMPLATES
        .iter()
        .map(|role| json!({ "key": role.key, "name": role.name }))
        .collect()
}
