//! What lies between two policies.

use std::fmt;

use tenancy_core::{Permission as _, RoleKey};

use super::{Change, GrantKey, PolicyDocument, RoleDocument, template::OWNER};
use crate::{Error, ErrorKind, perm::RolesManage};

/// The changes that make one policy of another: what is given, then what is taken. Made one by one in
/// this order, they may meet a limit that the whole does not: they are one step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolicyDiff {
    /// The changes.
    pub changes: Vec<Change>,
}

impl PolicyDiff {
    /// The most changes that one import makes.
    pub const MAX_CHANGES: usize = 20_000;

    /// What has to be done for `from` to become `to`. A role that `to` names gets exactly what is
    /// said there, and so does a member. Roles and members that it does not name stay, or go if
    /// `prune` says so.
    ///
    /// # Errors
    /// [`RoleFixed`](ErrorKind::RoleFixed) if `to` says something of the role `owner`;
    /// [`RoleUnknown`](ErrorKind::RoleUnknown) for a parent or an assignment of a role that is in
    /// neither; [`Limit`](ErrorKind::Limit); as [`PolicyDocument::check`].
    pub fn between(from: &PolicyDocument, to: &PolicyDocument, prune: bool) -> Result<Self, Error> {
        to.check()?;
        check(from, to, prune)?;
        let (mut given, mut taken) = (Vec::new(), Vec::new());
        for (role, wanted) in &to.roles {
            between_roles(role, from.roles.get(role), wanted, &mut given, &mut taken);
        }
        // A parent has to be there before it is one.
        given.sort_by_key(|change| !matches!(change, Change::Create { .. }));
        for (member, wanted) in &to.members {
            let has = from.members.get(member);
            for (role, expires_at) in wanted {
                if has.and_then(|has| has.get(role)) != Some(expires_at) {
                    given.push(Change::Assign {
                        member: *member,
                        role: role.clone(),
                        expires_at: *expires_at,
                    });
                }
            }
        }
        for (member, has) in &from.members {
            let wanted = to.members.get(member);
            if wanted.is_none() && !prune {
                continue;
            }
            for role in has.keys() {
                if wanted.is_none_or(|wanted| !wanted.contains_key(role)) {
                    taken.push(Change::Unassign {
                        member: *member,
                        role: role.clone(),
                    });
                }
            }
        }
        if prune {
            let gone = from
                .roles
                .keys()
                .filter(|role| !to.roles.contains_key(role));
            taken.extend(gone.map(|role| Change::Delete { role: role.clone() }));
        }
        taken.sort_by_key(is_about_managing);
        given.append(&mut taken);
        if given.len() > Self::MAX_CHANGES {
            let message = format!(
                "these are {} changes; one import makes at most {}",
                given.len(),
                Self::MAX_CHANGES
            );
            return Err(Error::new(ErrorKind::Limit, "too_many_changes", message));
        }
        Ok(Self { changes: given })
    }

    /// Whether both are the same.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

fn check(from: &PolicyDocument, to: &PolicyDocument, prune: bool) -> Result<(), Error> {
    let owner = RoleKey::from_static(OWNER);
    if to.roles.contains_key(&owner) {
        let message = "the role `owner` grants everything and can't be changed";
        return Err(Error::new(ErrorKind::RoleFixed, "role_fixed", message));
    }
    let known =
        |role: &RoleKey| to.roles.contains_key(role) || (!prune && from.roles.contains_key(role));
    let parents = to.roles.values().flat_map(|role| &role.parents);
    let assigned = to.members.values().flat_map(|roles| roles.keys());
    let assigned = assigned.filter(|role| **role != owner);
    match parents.chain(assigned).find(|role| !known(role)) {
        None => Ok(()),
        Some(role) => {
            let message = format!("there is no role `{role}`");
            Err(Error::new(ErrorKind::RoleUnknown, "role_unknown", message))
        }
    }
}

fn between_roles(
    role: &RoleKey,
    has: Option<&RoleDocument>,
    wanted: &RoleDocument,
    given: &mut Vec<Change>,
    taken: &mut Vec<Change>,
) {
    let role = || role.clone();
    let name = wanted.name.clone();
    match has {
        None => given.push(Change::Create { role: role(), name }),
        Some(has) if has.name != name => given.push(Change::Rename { role: role(), name }),
        Some(_) => {}
    }
    let nothing = RoleDocument::new(wanted.name.clone());
    let has = has.unwrap_or(&nothing);
    let grant = |key: &GrantKey| match key.clone() {
        GrantKey::Permission(permission) => Change::Grant {
            role: role(),
            permission,
        },
        GrantKey::Wildcard(wildcard) => Change::GrantWildcard {
            role: role(),
            wildcard,
        },
    };
    let revoke = |key: &GrantKey| match key.clone() {
        GrantKey::Permission(permission) => Change::Revoke {
            role: role(),
            permission,
        },
        GrantKey::Wildcard(wildcard) => Change::RevokeWildcard {
            role: role(),
            wildcard,
        },
    };
    let above = |parent: &RoleKey| (role(), parent.clone());
    given.extend(wanted.grants.difference(&has.grants).map(grant));
    let come = wanted.parents.difference(&has.parents).map(above);
    given.extend(come.map(|(role, parent)| Change::AddParent { role, parent }));
    let gone = has.parents.difference(&wanted.parents).map(above);
    taken.extend(gone.map(|(role, parent)| Change::RemoveParent { role, parent }));
    taken.extend(has.grants.difference(&wanted.grants).map(revoke));
}

fn is_about_managing(change: &Change) -> bool {
    match change {
        Change::Revoke { permission, .. } => *permission == RolesManage::KEY,
        Change::RevokeWildcard { wildcard, .. } => wildcard.covers(&RolesManage::KEY),
        Change::Delete { .. } => true,
        _ => false,
    }
}

impl fmt::Display for PolicyDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        Ok(())
    }
}
