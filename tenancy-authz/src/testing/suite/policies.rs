//! Policies as somebody writes them down, and what they mean, said naively.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

/// What is registered, and the policies of tenants.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Policies {
    /// The permissions that are registered.
    #[serde(default)]
    pub permissions: BTreeSet<String>,
    /// The tenants, by a name of this suite.
    #[serde(default)]
    pub tenants: BTreeMap<String, TenantOf>,
}

/// A tenant.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TenantOf {
    /// Whether it is open.
    #[serde(default)]
    pub state: TenantState,
    /// Its roles, by their keys.
    #[serde(default)]
    pub roles: BTreeMap<String, RoleOf>,
    /// Its members, by the names of users.
    #[serde(default)]
    pub members: BTreeMap<String, MemberOf>,
}

/// A role.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RoleOf {
    /// What it grants by name.
    #[serde(default)]
    pub grants: BTreeSet<String>,
    /// What it grants by a stem, such as `docs.*`.
    #[serde(default)]
    pub wildcards: BTreeSet<String>,
    /// Roles of the same tenant whose grants it has too.
    #[serde(default)]
    pub parents: BTreeSet<String>,
}

/// A member.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MemberOf {
    /// Whether he may enter.
    #[serde(default)]
    pub state: Standing,
    /// His roles.
    #[serde(default)]
    pub roles: BTreeMap<String, End>,
}

/// Whether a tenant is open.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TenantState {
    /// For everything.
    #[default]
    Open,
    /// For reading; roles count.
    Readable,
    /// For nobody.
    Closed,
}

/// What a user is to a tenant.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// An active member.
    #[default]
    Active,
    /// A member who may not enter.
    KeptOut,
    /// No member any more.
    Gone,
}

/// Until when somebody has a role.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// For good.
    Forever,
    /// For longer than the suite takes.
    Later,
    /// It is over.
    Ended,
}

/// Whether a user holds a permission in a tenant.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Question {
    /// Where.
    pub tenant: String,
    /// Who.
    pub user: String,
    /// What.
    pub permission: String,
}

impl Question {
    /// Whether this user holds this permission in this tenant.
    pub fn new(
        tenant: impl Into<String>,
        user: impl Into<String>,
        permission: impl Into<String>,
    ) -> Self {
        Self {
            tenant: tenant.into(),
            user: user.into(),
            permission: permission.into(),
        }
    }
}

impl Policies {
    /// The answer, found by looking at everything and remembering nothing.
    pub fn allows(&self, asked: &Question) -> bool {
        let Some(tenant) = self.tenants.get(&asked.tenant) else {
            return false;
        };
        let Some(member) = tenant.members.get(&asked.user) else {
            return false;
        };
        let open = tenant.state != TenantState::Closed && member.state == Standing::Active;
        let counting = member.roles.iter().filter(|(_, end)| **end != End::Ended);
        open && self.permissions.contains(&asked.permission)
            && counting
                .into_iter()
                .any(|(role, _)| tenant.grants(role, &asked.permission))
    }
}

impl TenantOf {
    fn grants(&self, role: &str, permission: &str) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![role]);
        while let Some(key) = open.pop() {
            let Some(role) = self.roles.get(key).filter(|_| seen.insert(key)) else {
                continue;
            };
            let by_stem = |pattern: &String| {
                let stem = pattern.strip_suffix('*');
                stem.is_some_and(|stem| permission.starts_with(stem))
            };
            if role.grants.contains(permission) || role.wildcards.iter().any(by_stem) {
                return true;
            }
            open.extend(role.parents.iter().map(String::as_str));
        }
        false
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tenant,
            user,
            permission,
        } = self;
        write!(f, "{user} in {tenant}: `{permission}`")
    }
}
