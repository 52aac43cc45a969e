//! What a crate of the family brings to the database.

use sha2::{Digest as _, Sha256};

use crate::PermissionDef;

/// A set of migrations with a name: one a crate, and one for a host that wants to use the runner.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Component {
    /// The name under which its versions are kept, such as `core`.
    pub name: &'static str,
    /// The components that have to be there first.
    pub requires: &'static [&'static str],
    /// The Postgres extensions that have to be installed.
    pub extensions: &'static [&'static str],
    /// The migrations, in the order of their versions.
    pub migrations: &'static [Migration],
    /// The permissions that the component's services ask for.
    pub permissions: &'static [PermissionDef],
}

impl Component {
    /// A component without requirements.
    pub const fn new(name: &'static str, migrations: &'static [Migration]) -> Self {
        Self {
            name,
            requires: &[],
            extensions: &[],
            migrations,
            permissions: &[],
        }
    }

    /// Names the components that have to be there first.
    pub const fn with_requires(mut self, requires: &'static [&'static str]) -> Self {
        self.requires = requires;
        self
    }

    /// Names the extensions that have to be installed.
    pub const fn with_extensions(mut self, extensions: &'static [&'static str]) -> Self {
        self.extensions = extensions;
        self
    }

    /// Names the permissions.
    pub const fn with_permissions(mut self, permissions: &'static [PermissionDef]) -> Self {
        self.permissions = permissions;
        self
    }
}

/// One step of a component's schema.
///
/// Its SQL runs in the transaction of the whole run and says itself as which role: it begins with
/// `SET LOCAL ROLE tenancy_owner;`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Migration {
    /// Counts up from 1 within the component.
    pub version: i32,
    /// What it does, in a word or two.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
    /// The oldest program that can work with the schema after this step, by the last step that it
    /// knows; 0 if all can, however old.
    pub compatible_from: i32,
}

impl Migration {
    /// A step that every older program can live with: it adds, and takes nothing away.
    pub const fn new(version: i32, name: &'static str, sql: &'static str) -> Self {
        Self {
            version,
            name,
            sql,
            compatible_from: 0,
        }
    }

    /// Marks a step that takes away what only programs older than the step `version` use: those are
    /// refused from here on. A number below this step's own lets the programs that run during the
    /// deployment go on.
    pub const fn compatible_from(mut self, version: i32) -> Self {
        self.compatible_from = version;
        self
    }

    /// Marks a step that no older program can live with.
    pub const fn breaking(self) -> Self {
        let version = self.version;
        self.compatible_from(version)
    }

    /// SHA-256 of the SQL.
    pub fn checksum(&self) -> [u8; 32] {
        Sha256::digest(self.sql.as_bytes()).into()
    }
}

/// A hash over all migrations of all components: the key of a template database.
pub fn fingerprint(components: &[&Component]) -> String {
    let mut hash = Sha256::new();
    for component in components {
        for step in component.migrations {
            hash.update(component.name);
            hash.update(step.version.to_be_bytes());
            hash.update(step.compatible_from.to_be_bytes());
            hash.update(step.checksum());
        }
        for permission in component.permissions {
            hash.update(permission.key);
        }
    }
    hex::encode(hash.finalize()).split_off(40)
}
