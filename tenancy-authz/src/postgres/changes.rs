//! The functions that write, and what their answers mean.

use serde_json::{Value, json};
use tenancy_core::{RoleKey, TenantTx, UserId};

use super::db;
use crate::{Applied, Change, Epoch, Error, ErrorKind, RefusedChange, model::Refusal};

/// What a function answers: a word, what it is about, and how things were before.
pub(super) type Answer = (String, Option<String>, Option<Value>);

pub(super) async fn apply(tx: &mut TenantTx, change: &Change) -> Result<Applied, Error> {
    let role = change.role().as_str();
    let query = match change {
        Change::Assign {
            member, expires_at, ..
        } => sqlx::query_as(include_str!("sql/role_assign.sql"))
            .bind(role)
            .bind(member)
            .bind(expires_at),
        Change::AddParent { parent, .. } => sqlx::query_as(include_str!("sql/role_parent_add.sql"))
            .bind(role)
            .bind(parent.as_str()),
        Change::Clone { name, from, .. } => sqlx::query_as(include_str!("sql/role_clone.sql"))
            .bind(from.as_str())
            .bind(role)
            .bind(name.as_str()),
        Change::Create { name, .. } => sqlx::query_as(include_str!("sql/role_create.sql"))
            .bind(role)
            .bind(name.as_str()),
        Change::Delete { .. } => sqlx::query_as(include_str!("sql/role_delete.sql")).bind(role),
        Change::Grant { permission, .. } => sqlx::query_as(include_str!("sql/role_grant.sql"))
            .bind(role)
            .bind(permission.as_str()),
        Change::GrantWildcard { wildcard, .. } => {
            sqlx::query_as(include_str!("sql/role_wildcard_grant.sql"))
                .bind(role)
                .bind(wildcard.as_str())
        }
        Change::RemoveParent { parent, .. } => {
            sqlx::query_as(include_str!("sql/role_parent_remove.sql"))
                .bind(role)
                .bind(parent.as_str())
        }
        Change::Rename { name, .. } => sqlx::query_as(include_str!("sql/role_rename.sql"))
            .bind(role)
            .bind(name.as_str()),
        Change::Revoke { permission, .. } => sqlx::query_as(include_str!("sql/role_revoke.sql"))
            .bind(role)
            .bind(permission.as_str()),
        Change::RevokeWildcard { wildcard, .. } => {
            sqlx::query_as(include_str!("sql/role_wildcard_revoke.sql"))
                .bind(role)
                .bind(wildcard.as_str())
        }
        Change::Unassign { member, .. } => sqlx::query_as(include_str!("sql/role_unassign.sql"))
            .bind(role)
            .bind(member),
    };
    let answer: Answer = query.fetch_one(&mut **tx).await.map_err(db)?;
    read(answer, role)
}

/// What a function answers of several changes: a word, what it is about, which one is refused, and how
/// things were before.
type AnswerOfMany = (String, Option<String>, Option<i32>, Option<Value>);

pub(super) async fn apply_all(
    tx: &mut TenantTx,
    changes: &[Change],
) -> Result<Vec<Applied>, RefusedChange> {
    let asked = Value::Array(changes.iter().map(as_json).collect());
    let query = sqlx::query_as(include_str!("sql/policy_change.sql")).bind(asked);
    let answer: Result<AnswerOfMany, _> = query.fetch_one(&mut **tx).await;
    let (word, detail, place, before) = answer.map_err(|error| RefusedChange::none(db(error)))?;
    let at = place.and_then(|place| usize::try_from(place).ok()?.checked_sub(1));
    let role = at
        .and_then(|at| changes.get(at))
        .map(|change| change.role().as_str());
    let said = read((word, detail, before), role.unwrap_or("owner"));
    let applied = said.map_err(|error| RefusedChange { at, error })?;
    let (Applied::Changed(Value::Array(befores)), false) = (applied, changes.is_empty()) else {
        return Ok(Vec::new());
    };
    let told = befores.into_iter().map(|before| match before {
        Value::String(_) => Applied::Unchanged,
        before => Applied::Changed(before),
    });
    Ok(told.collect())
}

fn as_json(change: &Change) -> Value {
    let role = change.role();
    match change {
        Change::AddParent { parent, .. } => {
            json!({ "op": "add_parent", "role": role, "other": parent })
        }
        Change::Assign {
            member, expires_at, ..
        } => {
            json!({ "op": "assign", "role": role, "member": member, "expires_at": expires_at })
        }
        Change::Clone { name, from, .. } => {
            json!({ "op": "clone", "role": role, "other": from, "name": name })
        }
        Change::Create { name, .. } => json!({ "op": "create", "role": role, "name": name }),
        Change::Delete { .. } => json!({ "op": "delete", "role": role }),
        Change::Grant { permission, .. } => {
            json!({ "op": "grant", "role": role, "other": permission })
        }
        Change::GrantWildcard { wildcard, .. } => {
            json!({ "op": "grant_wildcard", "role": role, "other": wildcard })
        }
        Change::RemoveParent { parent, .. } => {
            json!({ "op": "remove_parent", "role": role, "other": parent })
        }
        Change::Rename { name, .. } => json!({ "op": "rename", "role": role, "name": name }),
        Change::Revoke { permission, .. } => {
            json!({ "op": "revoke", "role": role, "other": permission })
        }
        Change::RevokeWildcard { wildcard, .. } => {
            json!({ "op": "revoke_wildcard", "role": role, "other": wildcard })
        }
        Change::Unassign { member, .. } => {
            json!({ "op": "unassign", "role": role, "member": member })
        }
    }
}

pub(super) async fn seed(tx: &mut TenantTx, owner: UserId) -> Result<Applied, Error> {
    let query = sqlx::query_as(include_str!("sql/roles_seed.sql")).bind(owner);
    let answer = query.fetch_one(&mut **tx).await.map_err(db)?;
    read(answer, "owner")
}

pub(super) async fn may_grant(tx: &mut TenantTx, roles: &[RoleKey]) -> Result<(), Error> {
    let roles: Vec<&str> = roles.iter().map(AsRef::as_ref).collect();
    let query = sqlx::query_as(include_str!("sql/roles_may_grant.sql")).bind(&roles);
    let answer = query.fetch_one(&mut **tx).await.map_err(db)?;
    read(answer, &roles.join(", ")).map(drop)
}

pub(super) async fn assign_invited(
    tx: &mut TenantTx,
    member: UserId,
    invited_by: UserId,
    roles: &[RoleKey],
) -> Result<(), Error> {
    let roles: Vec<&str> = roles.iter().map(AsRef::as_ref).collect();
    let query = sqlx::query_as(include_str!("sql/roles_assign_invited.sql"))
        .bind(member)
        .bind(invited_by)
        .bind(&roles);
    let answer = query.fetch_one(&mut **tx).await.map_err(db)?;
    read(answer, &roles.join(", ")).map(drop)
}

pub(super) async fn lock(tx: &mut TenantTx) -> Result<Epoch, Error> {
    let query = sqlx::query_as(include_str!("sql/policy_lock.sql"));
    let answer = query.fetch_one(&mut **tx).await.map_err(db)?;
    Ok(match read(answer, "owner")? {
        Applied::Changed(before) => before.get("epoch").and_then(Value::as_i64).unwrap_or(0),
        Applied::Unchanged => 0,
    })
}

pub(super) fn read((word, detail, before): Answer, role: &str) -> Result<Applied, Error> {
    match word.as_str() {
        "ok" => return Ok(Applied::Changed(before.unwrap_or(Value::Null))),
        "unchanged" => return Ok(Applied::Unchanged),
        _ => {}
    }
    Err(match Refusal::parse(&word, detail) {
        Some(refusal) => refusal.into_error(role),
        None => Error::new(
            ErrorKind::Core(tenancy_core::ErrorKind::Internal),
            "answer_unknown",
            format!("the database answered `{word}`, which this version does not know"),
        ),
    })
}
