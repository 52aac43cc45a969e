//! A tenant's policy as a document that people edit.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenancy_core::{InvalidInput, PermissionKey, RoleKey, UserId};

use super::{Epoch, RoleName, Wildcard, bounded};
use crate::{Error, ErrorKind};

/// The most roles of a document, and the most members.
const MAX_ENTRIES: usize = 20_000;
/// The most roles of a member.
const MAX_ASSIGNED: usize = 200;
/// The most wildcards of a role, and the most parents.
const MAX_WILDCARDS: usize = 100;
const MAX_PARENTS: usize = 20;
/// The most that a role is granted: every permission there can be, and wildcards.
const MAX_GRANTS: usize = 65_536 + MAX_WILDCARDS;

/// The roles of a tenant, what they grant, and who has them.
///
/// The role `owner` is not among the roles: it grants everything and can't be changed. Whoever has it
/// is among the members.
///
/// ```
/// use tenancy_authz::PolicyDocument;
///
/// let policy = PolicyDocument::parse(
///     "version: 1
/// roles:
///   editor:
///     name: Editor
///     grants: [docs.read, pages.*]
///     parents: [viewer]
/// ")?;
/// assert_eq!(PolicyDocument::parse(&policy.to_json())?, policy);
/// # Ok::<_, tenancy_authz::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Unchecked")]
#[non_exhaustive]
pub struct PolicyDocument {
    /// The version of this form: 1.
    pub version: u16,
    /// The tenant's epoch when it was exported. An import that names it is refused if anything was
    /// changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Roles by their keys.
    pub roles: BTreeMap<RoleKey, RoleDocument>,
    /// The roles of each member, and until when he has them; for good, if null.
    pub members: BTreeMap<UserId, BTreeMap<RoleKey, Option<DateTime<Utc>>>>,
}

/// A role of a [`PolicyDocument`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RoleDocument {
    /// Its name for people.
    pub name: RoleName,
    /// Permissions and wildcards.
    #[serde(default, deserialize_with = "bounded::set::<_, _, MAX_GRANTS>")]
    pub grants: BTreeSet<GrantKey>,
    /// The roles whose permissions it grants too.
    #[serde(default, deserialize_with = "bounded::set::<_, _, MAX_PARENTS>")]
    pub parents: BTreeSet<RoleKey>,
}

/// What was read, whatever read it: no larger than a policy may be, by more than one entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    version: u16,
    #[serde(default)]
    epoch: Option<Epoch>,
    #[serde(default, deserialize_with = "bounded::map::<_, _, _, MAX_ENTRIES>")]
    roles: BTreeMap<RoleKey, RoleDocument>,
    #[serde(default, deserialize_with = "bounded::map::<_, _, _, MAX_ENTRIES>")]
    members: BTreeMap<UserId, Assigned>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Assigned(
    #[serde(deserialize_with = "bounded::map::<_, _, _, MAX_ASSIGNED>")]
    BTreeMap<RoleKey, Option<DateTime<Utc>>>,
);

/// What a role can be granted by name.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum GrantKey {
    /// One permission.
    Permission(PermissionKey),
    /// All below a prefix.
    Wildcard(Wildcard),
}

impl PolicyDocument {
    /// The most bytes that are parsed.
    pub const MAX_BYTES: usize = 8 << 20;
    /// Maps within maps.
    const MAX_DEPTH: usize = 8;

    /// Parses YAML or JSON, which is YAML too. What could grow out of a small text is refused:
    /// references to other parts of the document, and depth. Another parser that reads a policy by
    /// `serde` is held to the same sizes, but expands such references itself.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) with the line and what is wrong there;
    /// [`Limit`](ErrorKind::Limit) for a text that is too long, and as [`check`](Self::check).
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > Self::MAX_BYTES {
            return Err(too_large("a policy has at most 8 MiB"));
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: Self::MAX_DEPTH,
                max_anchors: 0,
                max_aliases: 0,
                max_documents: 1,
                max_merge_keys: 0,
                max_events: 4_000_000,
                max_nodes: 2_000_000,
                max_total_scalar_bytes: Self::MAX_BYTES,
            },
            duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::Error,
            with_snippet: false,
        };
        let read: Unchecked =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let said = InvalidInput::quote(&error.to_string());
                invalid("policy_invalid", format!("this is no policy: {said}"))
            })?;
        Self::try_from(read)
    }

    /// Fails for what no policy can be. Whatever is parsed or read by `serde` is checked already, and
    /// what is imported is checked again.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a version that is not known;
    /// [`Limit`](ErrorKind::Limit) for more than 20,000 roles or members, 200 roles of a member, and 100
    /// wildcards or 20 parents of a role.
    pub fn check(&self) -> Result<(), Error> {
        if self.version != 1 {
            let version = self.version;
            let message = format!("the form {version} of a policy is not known: use 1");
            return Err(invalid("policy_version_unknown", message));
        }
        if self.roles.len().max(self.members.len()) > MAX_ENTRIES {
            return Err(too_large(
                "a policy has at most 20000 roles and 20000 members",
            ));
        }
        if self
            .members
            .values()
            .any(|roles| roles.len() > MAX_ASSIGNED)
        {
            return Err(too_large("a member has at most 200 roles"));
        }
        self.roles.values().try_for_each(RoleDocument::check)
    }

    /// The document as YAML.
    ///
    /// # Errors
    /// Only what the serializer fails with, which no policy makes it do.
    pub fn to_yaml(&self) -> Result<String, Error> {
        serde_saphyr::to_string(self)
            .map_err(|error| invalid("policy_unwritable", error.to_string()))
    }

    /// The document as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn too_large(message: &str) -> Error {
    Error::new(ErrorKind::Limit, "policy_too_large", message)
}

fn invalid(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, code, message)
}

impl Default for PolicyDocument {
    fn default() -> Self {
        Self {
            version: 1,
            epoch: None,
            roles: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }
}

impl RoleDocument {
    /// A role that grants nothing yet.
    pub fn new(name: RoleName) -> Self {
        Self {
            name,
            grants: BTreeSet::new(),
            parents: BTreeSet::new(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let wildcards = self
            .grants
            .iter()
            .filter(|grant| matches!(grant, GrantKey::Wildcard(_)));
        if wildcards.count() > MAX_WILDCARDS || self.grants.len() > MAX_GRANTS {
            return Err(too_large(
                "a role has at most 100 wildcards and 65536 permissions",
            ));
        }
        if self.parents.len() > MAX_PARENTS {
            return Err(too_large("a role has at most 20 parents"));
        }
        Ok(())
    }
}

impl TryFrom<Unchecked> for PolicyDocument {
    type Error = Error;

    fn try_from(read: Unchecked) -> Result<Self, Error> {
        let members = read.members.into_iter();
        let document = Self {
            version: read.version,
            epoch: read.epoch,
            roles: read.roles,
            members: members.map(|(user, assigned)| (user, assigned.0)).collect(),
        };
        document.check()?;
        Ok(document)
    }
}

impl TryFrom<String> for GrantKey {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        if text.ends_with('*') {
            return Wildcard::parse(text).map(Self::Wildcard);
        }
        PermissionKey::parse(text).map(Self::Permission)
    }
}

impl From<GrantKey> for String {
    fn from(key: GrantKey) -> Self {
        match key {
            GrantKey::Permission(permission) => permission.into(),
            GrantKey::Wildcard(wildcard) => wildcard.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = PolicyDocument::parse(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
        error.to_string()
    }

    #[test]
    fn what_is_unknown_or_twice_or_no_key_is_refused() {
        for text in [
            "",
            "roles: {}",
            "version: 2",
            "version: 1\nrolls: {}",
            "version: 1\nroles: {a: {name: A, rights: []}}",
            "version: 1\nroles: {a: {name: A}, a: {name: B}}",
            "version: 1\nroles: {A: {name: A}}",
            "version: 1\nroles: {a: {}}",
            "version: 1\nroles: {a: {name: ''}}",
            "version: 1\nroles: {a: {name: A, grants: ['docs.*.read']}}",
            "version: 1\nroles: {a: {name: A, grants: ['*']}}",
            "version: 1\nroles: {a: {name: A, grants: [docs]}}",
            "version: 1\nmembers: {me: {owner: null}}",
            "version: 1\n---\nversion: 1",
            "version: 1\n: [",
        ] {
            refused(text);
        }
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (one, before) in ('b'..='z').zip('a'..) {
            use std::fmt::Write as _;
            let _ = writeln!(
                laughs,
                "{one}: &{one} [{}]",
                vec![format!("*{before}"); 9].join(", ")
            );
        }
        refused(&laughs);
        refused(&format!(
            "version: 1\nroles: {}{}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        ));
        refused(&format!("version: 1\nroles: {}", "{a: ".repeat(50_000)));
        refused("version: 1\nroles: &r {a: {name: A}}\nmembers: *r");
        refused("version: 1\nroles: {a: {name: A, <<: {grants: [docs.read]}}}");
        let long = " ".repeat(PolicyDocument::MAX_BYTES + 1);
        assert_eq!(
            PolicyDocument::parse(&long).unwrap_err().kind(),
            ErrorKind::Limit
        );
    }

    #[test]
    fn words_that_yaml_may_take_for_something_else_are_keys() {
        let text = "version: 1\nroles:\n  no: {name: 'Yes: no', grants: [on.off, null.true]}\n";
        let policy = PolicyDocument::parse(text).unwrap();
        assert_eq!(
            PolicyDocument::parse(&policy.to_yaml().unwrap()).unwrap(),
            policy
        );
        assert_eq!(PolicyDocument::parse(&policy.to_json()).unwrap(), policy);
        assert!(policy.roles.contains_key(&RoleKey::from_static("no")));
    }
}
