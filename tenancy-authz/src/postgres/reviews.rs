//! Queries for people who look at a policy.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tenancy_core::{PermissionKey, RoleKey, TenantTx, UserId};

use super::{db, stored};
use crate::{
    Epoch, Error, ErrorKind, Explanation, Grant, Holder, MatrixRole, MemberState, PolicyDocument,
    RolePage,
};

/// Role, its end, whether that has passed, whether it grants, through what parent, by what pattern.
type GrantRow = (
    String,
    Option<DateTime<Utc>>,
    bool,
    bool,
    Option<String>,
    Option<String>,
);

pub(super) async fn explain(
    tx: &mut TenantTx,
    user: UserId,
    permission: &PermissionKey,
) -> Result<Explanation, Error> {
    let tenant = tx.ctx().tenant();
    let mut explanation = Explanation::new(user, permission.clone());
    let (is_registered, tenant_open, status): (bool, bool, Option<String>) =
        sqlx::query_as(include_str!("sql/explain_member.sql"))
            .bind(tenant)
            .bind(user)
            .bind(permission.as_str())
            .fetch_one(&mut **tx)
            .await
            .map_err(db)?;
    explanation.is_registered = is_registered;
    explanation.member = match (status.as_deref(), tenant_open) {
        (None, _) => MemberState::Stranger,
        (Some(_), false) => MemberState::TenantClosed,
        (Some("active"), true) => MemberState::Active,
        (Some(_), true) => MemberState::Deactivated,
    };
    let roles: Vec<GrantRow> = sqlx::query_as(include_str!("sql/explain_roles.sql"))
        .bind(tenant)
        .bind(user)
        .bind(permission.as_str())
        .fetch_all(&mut **tx)
        .await
        .map_err(db)?;
    for (role, expires_at, has_ended, grants, through, pattern) in roles {
        let mut grant = Grant::new(stored::key(role)?, expires_at, grants);
        grant.has_ended = has_ended;
        if grants {
            grant.through = through.map(stored::key).transpose()?;
            grant.wildcard = pattern.map(stored::key).transpose()?;
        }
        explanation.roles.push(grant);
    }
    Ok(explanation)
}

pub(super) async fn holders(
    tx: &mut TenantTx,
    permission: &PermissionKey,
    after: Option<UserId>,
    limit: u16,
) -> Result<Vec<Holder>, Error> {
    let tenant = tx.ctx().tenant();
    let rows: Vec<(UserId, Vec<String>)> = sqlx::query_as(include_str!("sql/holders.sql"))
        .bind(tenant)
        .bind(permission.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&mut **tx)
        .await
        .map_err(db)?;
    rows.into_iter()
        .map(|(user, roles)| Ok(Holder::new(user, stored::keys(roles)?)))
        .collect()
}

pub(super) async fn matrix(tx: &mut TenantTx, page: &RolePage) -> Result<Vec<MatrixRole>, Error> {
    let tenant = tx.ctx().tenant();
    let rows: Vec<(String, String, Vec<String>, Vec<bool>)> =
        sqlx::query_as(include_str!("sql/matrix.sql"))
            .bind(tenant)
            .bind(page.after.as_ref().map(RoleKey::as_str))
            .bind(i64::from(page.limit))
            .fetch_all(&mut **tx)
            .await
            .map_err(db)?;
    rows.into_iter()
        .map(|(key, name, granted, by_name)| {
            let granted = stored::keys(granted)?.into_iter().zip(by_name);
            let grants: BTreeMap<_, _> = granted.collect();
            Ok(MatrixRole::new(stored::key(key)?, name, grants))
        })
        .collect()
}

pub(super) async fn policy(tx: &mut TenantTx) -> Result<PolicyDocument, Error> {
    let tenant = tx.ctx().tenant();
    let row: Option<(Epoch, Value, Value)> = sqlx::query_as(include_str!("sql/policy_export.sql"))
        .bind(tenant)
        .fetch_optional(&mut **tx)
        .await
        .map_err(db)?;
    let mut policy = PolicyDocument::default();
    if let Some((epoch, roles, members)) = row {
        policy.epoch = Some(epoch);
        policy.roles = serde_json::from_value(roles).map_err(|error| unreadable(&error))?;
        policy.members = serde_json::from_value(members).map_err(|error| unreadable(&error))?;
    }
    Ok(policy)
}

/// The schema lets in nothing that is no policy.
fn unreadable(error: &serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Misconfigured,
        "policy_unreadable",
        error.to_string(),
    )
}
