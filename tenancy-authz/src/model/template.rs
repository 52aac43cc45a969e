//! What roles are made from.

use serde_json::{Value, json};
use tenancy_core::{PermissionKey, RoleKey};

use super::Wildcard;
use crate::{Error, ErrorKind};

/// A role that every tenant is seeded with.
///
/// Which permissions a default role grants is said by each permission's definition; `owner` and
/// `admin` grant all. A host's own template says itself what it grants, and has a version: tenants
/// that left the role as it was made follow a later version, the others keep theirs.
///
/// ```
/// use tenancy_authz::RoleTemplate;
///
/// const AUDITOR: RoleTemplate = RoleTemplate::new("auditor", 2, "Auditor")
///     .with_grants(&["roles.read", "reports.*"])
///     .with_parents(&["viewer"]);
/// # assert_eq!(AUDITOR.version, 2);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoleTemplate {
    /// The key of the role in every tenant.
    pub key: RoleKey,
    /// Its name, which a tenant may change.
    pub name: &'static str,
    /// Counts what the host made of it, from 1; 0 for a default role.
    pub version: u16,
    /// Permissions and wildcards.
    pub grants: &'static [&'static str],
    /// The keys of the roles whose permissions it grants too.
    pub parents: &'static [&'static str],
}

impl RoleTemplate {
    /// A host's template that grants nothing yet.
    ///
    /// # Panics
    /// When the key breaks the grammar: at compile time in a `const`.
    pub const fn new(key: &'static str, version: u16, name: &'static str) -> Self {
        Self {
            key: RoleKey::from_static(key),
            name,
            version,
            grants: &[],
            parents: &[],
        }
    }

    /// Grants these permissions and wildcards.
    pub const fn with_grants(mut self, grants: &'static [&'static str]) -> Self {
        self.grants = grants;
        self
    }

    /// Grants what these roles grant.
    pub const fn with_parents(mut self, parents: &'static [&'static str]) -> Self {
        self.parents = parents;
        self
    }
}

/// The role that grants everything, can't be changed, and stays with the owners of the tenant.
pub(crate) const OWNER: &str = "owner";

/// The default roles.
pub const TEMPLATES: &[RoleTemplate] = &[
    RoleTemplate::new(OWNER, 0, "Owner"),
    RoleTemplate::new("admin", 0, "Administrator"),
    RoleTemplate::new("member", 0, "Member"),
    RoleTemplate::new("support", 0, "Support"),
    RoleTemplate::new("viewer", 0, "Viewer"),
];

/// The templates that grant every permission without being named.
pub(crate) const ALL_PERMISSIONS: &[&str] = &[OWNER, "admin"];

/// How many roles may stand above a role, one over the other.
pub(crate) const MAX_DEPTH: usize = 8;

/// The default roles and the host's, as the database takes them. A host's template stands in for the
/// default role of its key; `granted_to` says what the definitions grant to a default role.
pub(crate) fn templates_as_json(
    host: &[RoleTemplate],
    granted_to: impl Fn(&RoleKey) -> Vec<String>,
) -> Result<Value, Error> {
    let keys: Vec<&RoleKey> = host.iter().map(|template| &template.key).collect();
    for (at, template) in host.iter().enumerate() {
        check(template, host, &keys, at)?;
    }
    let defaults = TEMPLATES.iter().filter(|role| !keys.contains(&&role.key));
    let entry = |template: &RoleTemplate| {
        let (mut permissions, mut wildcards) = (granted_to(&template.key), Vec::new());
        if template.version > 0 {
            permissions.clear();
            for grant in template.grants {
                match Wildcard::parse(*grant) {
                    Ok(wildcard) => wildcards.push(wildcard.to_string()),
                    Err(_) => permissions.push(PermissionKey::parse(*grant)?.to_string()),
                }
            }
        }
        let mut parents = template.parents.to_vec();
        parents.sort_unstable();
        parents.dedup();
        wildcards.sort_unstable();
        wildcards.dedup();
        Ok(json!({
            "key": template.key,
            "name": template.name,
            "version": template.version,
            "grants_all": template.version == 0 && ALL_PERMISSIONS.contains(&template.key.as_str()),
            "permissions": permissions,
            "wildcards": wildcards,
            "parents": parents,
        }))
    };
    defaults.chain(host).map(entry).collect()
}

fn check(
    template: &RoleTemplate,
    host: &[RoleTemplate],
    keys: &[&RoleKey],
    at: usize,
) -> Result<(), Error> {
    let refuse = |why: &str| {
        let message = format!("the role template `{}` {why}", template.key);
        Err(Error::new(
            ErrorKind::Misconfigured,
            "template_invalid",
            message,
        ))
    };
    if template.key.as_str() == OWNER {
        return refuse("can't be a host's: it grants everything");
    }
    if template.version == 0 {
        return refuse("needs a version, from 1");
    }
    if !(1..=100).contains(&template.name.chars().count()) {
        return refuse("needs a name of 1 to 100 characters");
    }
    if keys.iter().take(at).any(|key| **key == template.key) {
        return refuse("is there twice");
    }
    let known = |key: &str| {
        keys.iter().any(|known| known.as_str() == key)
            || TEMPLATES.iter().any(|role| role.key.as_str() == key)
    };
    if template
        .parents
        .iter()
        .any(|key| *key == OWNER || !known(key))
    {
        return refuse("names a parent that is no template, or `owner`");
    }
    if depth(template, host, 0) > MAX_DEPTH {
        return refuse("has parents that stand in a circle, or more than 8 one over the other");
    }
    Ok(())
}

/// How many parents stand above a template; more than allowed, if they stand in a circle.
fn depth(template: &RoleTemplate, host: &[RoleTemplate], below: usize) -> usize {
    if below > MAX_DEPTH {
        return 1;
    }
    let parents = host
        .iter()
        .filter(|other| template.parents.contains(&other.key.as_str()));
    let above = parents.map(|parent| 1 + depth(parent, host, below + 1));
    let roots = usize::from(!template.parents.is_empty());
    above.max().unwrap_or(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_a_template_is_refused() {
        let bad: &[&[RoleTemplate]] = &[
            &[RoleTemplate::new("owner", 1, "x")],
            &[RoleTemplate::new("a", 0, "x")],
            &[RoleTemplate::new("a", 1, "")],
            &[
                RoleTemplate::new("a", 1, "x"),
                RoleTemplate::new("a", 2, "x"),
            ],
            &[RoleTemplate::new("a", 1, "x").with_parents(&["nobody"])],
            &[RoleTemplate::new("a", 1, "x").with_parents(&["owner"])],
            &[RoleTemplate::new("a", 1, "x").with_parents(&["a"])],
            &[
                RoleTemplate::new("a", 1, "x").with_parents(&["b"]),
                RoleTemplate::new("b", 1, "x").with_parents(&["a"]),
            ],
        ];
        for host in bad {
            let refused = templates_as_json(host, |_| Vec::new()).unwrap_err();
            assert_eq!(refused.code(), "template_invalid", "{host:?}");
        }
        let wrong = [RoleTemplate::new("a", 1, "x").with_grants(&["Docs.Read"])];
        let refused = templates_as_json(&wrong, |_| Vec::new()).unwrap_err();
        assert_eq!(refused.code(), "permission_key_invalid");
        let good = [RoleTemplate::new("viewer", 1, "x").with_grants(&["docs.*", "docs.read"])];
        let json = templates_as_json(&good, |_| Vec::new()).unwrap();
        assert_eq!(
            json.as_array().map(Vec::len),
            Some(5),
            "in place of the default"
        );
    }
}
