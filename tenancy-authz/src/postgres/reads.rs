//! The queries that only read.

use std::time::Duration;

use tenancy_core::{Decision, PermissionKey, RoleKey, TenantTx, UserId};

use super::{
    db,
    stored::{self, good_bit, good_key},
};
use crate::{
    Epoch, Error, RegisteredPermission, Role, RolePage, Snapshot,
    model::{Found, Refusal, by_itself},
};

pub(super) async fn registry(tx: &mut TenantTx) -> Result<Vec<RegisteredPermission>, Error> {
    let rows: Vec<(String, String, i32)> = sqlx::query_as(include_str!("sql/registry.sql"))
        .fetch_all(&mut **tx)
        .await
        .map_err(db)?;
    let registered = rows.into_iter().filter_map(|(key, description, at)| {
        let (key, bit) = (good_key(key)?, good_bit(at)?);
        Some(RegisteredPermission::new(key, description, bit))
    });
    Ok(registered.collect())
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
    let (roles, bits) = (roles.unwrap_or_default(), bits.unwrap_or_default());
    Ok(Some(Snapshot {
        epoch,
        is_member: is_member.unwrap_or(false),
        roles: roles.into_iter().filter_map(good_key).collect(),
        permissions: bits.into_iter().filter_map(good_bit).collect(),
        valid_for: seconds.map(|left| Duration::try_from_secs_f64(left).unwrap_or_default()),
    }))
}

pub(super) async fn decide(
    tx: &mut TenantTx,
    permission: &PermissionKey,
) -> Result<Decision, Error> {
    let ctx = tx.ctx().clone();
    if let Some(decision) = by_itself(&ctx, permission) {
        return Ok(decision);
    }
    let (is_granted, is_member, is_registered): (bool, bool, bool) =
        sqlx::query_as(include_str!("sql/decide.sql"))
            .bind(ctx.tenant())
            .bind(ctx.user().or(ctx.maker()))
            .bind(permission.as_str())
            .fetch_one(&mut **tx)
            .await
            .map_err(db)?;
    let found = Found {
        is_member,
        is_registered,
        is_granted,
    };
    Ok(found.decide(&ctx, permission))
}

pub(super) async fn my_roles(tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error> {
    let tenant = tx.ctx().tenant();
    let roles: Vec<String> = sqlx::query_scalar(include_str!("sql/my_roles.sql"))
        .bind(tenant)
        .fetch_one(&mut **tx)
        .await
        .map_err(db)?;
    Ok(roles.into_iter().filter_map(good_key).collect())
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
            Ok(Role::new(stored::key(key)?, name, is_system, count))
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
    stored::keys(keys.ok_or_else(unknown)?)
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
    stored::keys(keys)
}
