//! The roles of one member: what he has, and what he had before a change.

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;
use tenancy_core::{HeldRole, RoleKey, RolesChange, TenantTx, UserId};

use super::{
    changes::{Answer, read},
    db, stored,
};
use crate::{Applied, Error, ErrorKind};

/// As the functions tell of it.
#[derive(Deserialize)]
struct Row {
    role: String,
    /// Microseconds since 1970.
    ends: Option<i64>,
}

pub(super) async fn set_roles(
    tx: &mut TenantTx,
    member: UserId,
    roles: &[RoleKey],
) -> Result<Option<RolesChange>, Error> {
    let roles: Vec<&str> = roles.iter().map(AsRef::as_ref).collect();
    let query = sqlx::query_as(include_str!("sql/member_roles_set.sql"))
        .bind(member)
        .bind(&roles);
    let answer: Answer = query.fetch_one(&mut **tx).await.map_err(db)?;
    match read(answer, &roles.join(", "))? {
        Applied::Changed(told) => change(told).map(Some),
        Applied::Unchanged => Ok(None),
    }
}

pub(super) async fn set_owner(
    tx: &mut TenantTx,
    member: UserId,
    is_owner: bool,
) -> Result<RolesChange, Error> {
    let query = sqlx::query_as(include_str!("sql/owner_role_set.sql"))
        .bind(member)
        .bind(is_owner);
    let answer: Answer = query.fetch_one(&mut **tx).await.map_err(db)?;
    match read(answer, "owner")? {
        Applied::Changed(told) => change(told),
        Applied::Unchanged => Err(unreadable("nothing")),
    }
}

pub(super) async fn lock(tx: &mut TenantTx, member: UserId) -> Result<Vec<HeldRole>, Error> {
    let query = sqlx::query_scalar(include_str!("sql/held_roles_lock.sql")).bind(member);
    held(query.fetch_one(&mut **tx).await.map_err(db)?)
}

fn change(mut told: Value) -> Result<RolesChange, Error> {
    let mut list = |name: &str| held(told.get_mut(name).map(Value::take).unwrap_or_default());
    Ok(RolesChange::new(list("before")?, list("after")?))
}

fn held(list: Value) -> Result<Vec<HeldRole>, Error> {
    let rows: Vec<Row> = serde_json::from_value(list).map_err(unreadable)?;
    let role = |row: Row| {
        let ends = row.ends.map(|micros| {
            DateTime::from_timestamp_micros(micros).ok_or_else(|| unreadable(micros))
        });
        Ok(HeldRole::new(stored::key(row.role)?, ends.transpose()?))
    };
    rows.into_iter().map(role).collect()
}

fn unreadable(what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Core(tenancy_core::ErrorKind::Internal),
        "answer_unknown",
        format!("the database told of a member's roles what this version does not read: {what}"),
    )
}
