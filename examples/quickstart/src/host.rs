//! What the host brings along: its tables, its permissions, its roles' names.

use tenancy::core::{
    RoleKey,
    migrate::{Component, Migration},
};

tenancy::core::permissions! {
    /// The quickstart's own permissions.
    pub(crate) mod perm {
        TemplatesRead = "templates.read", "see templates", [member, support, viewer];
        TemplatesWrite = "templates.write", "change templates", [member];
    }
}

/// The host's part of the schema.
pub(crate) const HOST: Component = Component::new(
    "quickstart",
    &[Migration::new(
        1,
        "host",
        include_str!("../migrations/0001_host.sql"),
    )],
)
.with_requires(&["core"])
.with_permissions(perm::ALL);

pub(crate) const ADMIN: RoleKey = RoleKey::from_static("admin");
pub(crate) const SUPPORT: RoleKey = RoleKey::from_static("support");
