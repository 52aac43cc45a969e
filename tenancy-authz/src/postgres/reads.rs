//! The queries that only read.

use std::time::Duration;

use tenancy_core::{Decision, DenyReason, PermissionKey, RoleKey, TenantTx, UserId};

use super::db;
use crate::{
    Epoch, Error, ErrorKind, RegisteredPermission, Role, RolePage, Snapshot, model::Refusal,
};

pub(super) async fn registry(tx: &mut TenantTx) -> Result<Vec<RegisteredPermission>, Error> {
    let rows: Vec<(String, String, i32)> = sqlx::query_as(include_str!("sql/registry.sql"))
        .fetch_all(&mut **tx)
        .await
        .map_err(db)?;
    rows.into_iter()
        .map(|(key, description, at)| {
            Ok(RegisteredPermission::new(
                PermissionKey::parse(key)?,
                description,
                bit(at)?,
            ))
        })
        .collect()
}

/// Epoch, membership, roles, bits, and the seconds until a role ends. All but the epoch are NULL
/// while the epoch is as known.
type SnapshotRow = (
    Epoch,
    Option<bool>,
    Option<Vec<String>>,
    Option<Vec<i32>>,
    Option<f64>,
);

/// Nothing if the epoch is still as known.
pub(super) async fn snapshot(
    tx: &mut TenantTx,
    known: Option<Epoch>,
) -> Result<Option<Snapshot>, Error> {
    let (tenant, user) = (tx.ctx().tenant(), tx.ctx().user().or(tx.ctx().maker()));
    let row: Option<SnapshotRow> = sqlx::query_as(include_str!("sql/snapshot.sql"))
        .bind(tenant)
        .bind(user)
        .bind(known)
        .fetch_optional(&mut **tx)
        .await
        .map_err(db)?;
    // No epoch, no tenant.
    let Some((epoch, is_member, roles, bits, seconds)) = row else {
        return Ok(Some(Snapshot::default()));
    };
    if known == Some(epoch) {
        return Ok(None);
    }
    let bits = bits.unwrap_or_default().into_iter().map(bit);
    Ok(Some(Snapshot {
        epoch,
        is_member: is_member.unwrap_or(false),
        roles: role_keys(roles.unwrap_or_default())?,
        permissions: bits.collect::<Result<_, _>>()?,
        valid_for: seconds.map(|left| Duration::try_from_secs_f64(left).unwrap_or_default()),
    }))
}

pub(super) async fn decide(
    tx: &mut TenantTx,
    permission: &PermissionKey,
) -> Result<Decision, Error> {
    let ctx = tx.ctx().clone();
    let (allowed, is_member, is_registered): (bool, bool, bool) =
        sqlx::query_as(include_str!("sql/decide.sql"))
            .bind(ctx.tenant())
            .bind(ctx.user().or(ctx.maker()))
            .bind(permission.as_str())
            .fetch_one(&mut **tx)
            .await
            .map_err(db)?;
    let brings_permissions = ctx.principal().actor.permissions().is_some();
    Ok(
        match (allowed, brings_permissions, is_registered, is_member) {
            (true, ..) => Decision::Allow,
            (_, true, ..) => Decision::Deny(DenyReason::NotGranted),
            (_, _, false, _) => Decision::Deny(DenyReason::UnknownPermission),
            (.., false) => Decision::Deny(DenyReason::NotAMember),
            (.., true) => Decision::Deny(DenyReason::NotGranted),
        },
    )
}

pub(super) async fn my_roles(tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error> {
    let tenant = tx.ctx().tenant();
    let roles: Vec<String> = sqlx::query_scalar(include_str!("sql/my_roles.sql"))
        .bind(tenant)
        .fetch_one(&mut **tx)
        .await
        .map_err(db)?;
    role_keys(roles)
}

pub(super) async fn list(tx: &mut TenantTx, page: &RolePage) -> Result<Vec<Role>, Error> {
    let tenant = tx.ctx().tenant();
    let rows: Vec<(String, String, bool, i32)> = sqlx::query_as(include_str!("sql/roles_list.sql"))
        .bind(tenant)
        .bind(page.after.as_ref().map(RoleKey::as_str))
        .bind(i64::from(page.limit))
        .fetch_all(&mut **tx)
        .await
        .map_err(db)?;
    rows.into_iter()
        .map(|(key, name, is_system, count)| {
            let count = u32::try_from(count).unwrap_or_default();
            Ok(Role::new(RoleKey::parse(key)?, name, is_system, count))
        })
        .collect()
}

pub(super) async fn role_permissions(
    tx: &mut TenantTx,
    role: &RoleKey,
) -> Result<Vec<PermissionKey>, Error> {
    let tenant = tx.ctx().tenant();
    let keys: Option<Vec<String>> = sqlx::query_scalar(include_str!("sql/role_permissions.sql"))
        .bind(tenant)
        .bind(role.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(db)?;
    let unknown = || Refusal::RoleUnknown { role: None }.into_error(role.as_str());
    permission_keys(keys.ok_or_else(unknown)?)
}

pub(super) async fn member_permissions(
    tx: &mut TenantTx,
    user: UserId,
) -> Result<Vec<PermissionKey>, Error> {
    let tenant = tx.ctx().tenant();
    let keys = sqlx::query_scalar(include_str!("sql/member_permissions.sql"))
        .bind(tenant)
        .bind(user)
        .fetch_all(&mut **tx)
        .await
        .map_err(db)?;
    permission_keys(keys)
}

pub(super) fn role_keys(texts: Vec<String>) -> Result<Vec<RoleKey>, Error> {
    texts
        .into_iter()
        .map(|text| Ok(RoleKey::parse(text)?))
        .collect()
}

pub(super) fn permission_keys(texts: Vec<String>) -> Result<Vec<PermissionKey>, Error> {
    texts
        .into_iter()
        .map(|text| Ok(PermissionKey::parse(text)?))
        .collect()
}

/// The schema allows no other bits than those that fit.
fn bit(stored: i32) -> Result<u16, Error> {
    u16::try_from(stored).map_err(|_| {
        let kind = ErrorKind::Core(tenancy_core::ErrorKind::Internal);
        Error::new(
            kind,
            "bit_out_of_range",
            format!("the registry has the bit {stored}"),
        )
    })
}
