//! Registers permissions and templates.

use serde_json::{Map, Value, json};
use tenancy_core::{OperatorDb, PermissionDef, PermissionKey, RoleKey, TenantId};

use super::{db, stored};
use crate::{
    Error, ErrorKind, RoleTemplate, TEMPLATES,
    model::{ALL_PERMISSIONS, templates_as_json},
};

/// Tenants brought up to date in one transaction, whose rows it locks.
const BATCH: i32 = 100;

/// What [`sync_roles`] did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Synced {
    /// The permissions that are new.
    pub added: Vec<PermissionKey>,
    /// How many tenants were brought up to date.
    pub tenants: u64,
    /// How many of their roles a later revision of a template changed.
    pub upgraded: u64,
    /// How many of their roles it left as they are, because the tenant had edited them, or made a
    /// role of that key himself. [`edited_roles`] lists them.
    pub edited: u64,
}

/// A role that the newest version of its template did not reach.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EditedRole {
    /// Whose.
    pub tenant: TenantId,
    /// Which role.
    pub role: RoleKey,
    /// The template's version; 0 for a default role.
    pub version: u16,
    /// Whether the tenant made the role itself, before there was a template of this key.
    pub is_own: bool,
}

/// Registers permissions with the default roles; answers the permissions that are new.
///
/// As [`sync_roles`] without templates of the host.
///
/// # Errors
/// As [`sync_roles`].
pub async fn sync_permissions(
    operator: &OperatorDb,
    permissions: &[PermissionDef],
) -> Result<Vec<PermissionKey>, Error> {
    Ok(sync_roles(operator, permissions, &[]).await?.added)
}

/// Registers permissions and role templates, and brings every tenant up to date with them.
///
/// Permissions are only added, so that an older version of a host may do it after a newer one, and
/// two at once end as one; of a template's versions the highest counts. Registering is one
/// transaction. Tenants follow in batches of a hundred, each in a transaction of its own: who is cut
/// off goes on where he was when he runs it again, and a tenant that is up to date is not touched. One that
/// can't follow is left as it was, and the others follow all the same.
///
/// - Templates whose role a tenant neither has nor deleted are made.
/// - A role that is as its template had it becomes what the newest version says: more, or less.
/// - A role that the tenant edited keeps what it grants. It is given what was registered together
///   with the new version, in which the tenant had no say yet, and is listed by [`edited_roles`].
/// - A new permission reaches the roles whose wildcard covers it, and those below them.
///
/// What happened to a role is a row of `tenancy.role_upgrades` with how it was before and is after,
/// in the same transaction, for its tenant to read. [`record_upgrades`](crate::record_upgrades) puts it into
/// the audit log.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for a key that breaks the grammar;
/// [`Misconfigured`](ErrorKind::Misconfigured) for a role that is no template, a template that can't
/// be one or grants what nobody registered, and for one that says something else under a version that
/// is registered; [`Limit`](ErrorKind::Limit) for more than 65,536 permissions, with those that were
/// registered ever; of kind [`Internal`](tenancy_core::ErrorKind::Internal) with the code
/// `tenants_left_behind` if tenants could not follow, when all others did.
pub async fn sync_roles(
    operator: &OperatorDb,
    permissions: &[PermissionDef],
    templates: &[RoleTemplate],
) -> Result<Synced, Error> {
    let definitions = as_json(permissions)?;
    let templates = templates_as_json(templates, |role| granted_to(&definitions, role))?;
    let mut done = Synced {
        added: register(operator, templates, definitions).await?,
        ..Synced::default()
    };
    let (mut after, mut failed, mut first) = (None, 0, None);
    loop {
        let mut tx = operator.owner().await.map_err(Error::from)?;
        let batch: Batch = sqlx::query_as(include_str!("sql/roles_catch_up.sql"))
            .bind(after)
            .bind(BATCH)
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
        tx.commit().await.map_err(db)?;
        done.tenants += batch.tenants.unsigned_abs();
        done.upgraded += batch.upgraded.unsigned_abs();
        done.edited += batch.edited.unsigned_abs();
        failed += batch.failed;
        first = first.or(batch.first_failed.zip(batch.first_error));
        after = batch.last;
        if after.is_none() {
            break;
        }
    }
    match first {
        None => Ok(done),
        Some((tenant, error)) => Err(left_behind(failed, tenant, &error)),
    }
}

/// What happened to a batch of tenants.
#[derive(sqlx::FromRow)]
struct Batch {
    last: Option<TenantId>,
    tenants: i64,
    upgraded: i64,
    edited: i64,
    failed: i64,
    first_failed: Option<TenantId>,
    first_error: Option<String>,
}

fn left_behind(failed: i64, tenant: TenantId, error: &str) -> Error {
    let message = format!(
        "{failed} tenants could not be brought up to date, `{tenant}` the first of them: {error}; all others are"
    );
    let kind = ErrorKind::Core(tenancy_core::ErrorKind::Internal);
    Error::new(kind, "tenants_left_behind", message)
}

/// A page of the roles that the newest version of their template did not reach, over all tenants, in
/// the order of tenant and key, after the one given; at most 1,000.
///
/// # Errors
/// What the database failed with.
pub async fn edited_roles(
    operator: &OperatorDb,
    after: Option<(TenantId, RoleKey)>,
    limit: u16,
) -> Result<Vec<EditedRole>, Error> {
    let (tenant, role) = after.unzip();
    let mut tx = operator.owner().await.map_err(Error::from)?;
    let rows: Vec<(TenantId, String, i32, String)> =
        sqlx::query_as(include_str!("sql/roles_edited.sql"))
            .bind(tenant)
            .bind(role.as_ref().map(RoleKey::as_str))
            .bind(i32::from(limit.clamp(1, 1_000)))
            .fetch_all(&mut *tx)
            .await
            .map_err(db)?;
    rows.into_iter()
        .map(|(tenant, role, version, outcome)| {
            Ok(EditedRole {
                tenant,
                role: stored::key(role)?,
                version: u16::try_from(version).unwrap_or(u16::MAX),
                is_own: outcome == "taken",
            })
        })
        .collect()
}

async fn register(
    operator: &OperatorDb,
    templates: Value,
    definitions: Value,
) -> Result<Vec<PermissionKey>, Error> {
    let mut tx = operator.owner().await.map_err(Error::from)?;
    let (word, detail, added): (String, Option<String>, Option<Vec<String>>) =
        sqlx::query_as(include_str!("sql/register_permissions.sql"))
            .bind(templates)
            .bind(definitions)
            .fetch_one(&mut *tx)
            .await
            .map_err(db)?;
    let what = detail.unwrap_or_default();
    let (kind, code, message) = match word.as_str() {
        "ok" => {
            tx.commit().await.map_err(db)?;
            let added = added.unwrap_or_default();
            return added
                .into_iter()
                .map(|key| Ok(PermissionKey::parse(key)?))
                .collect();
        }
        "too_many_permissions" => (
            ErrorKind::Limit,
            "too_many_permissions",
            "at most 65536 permissions are registered, those of the past among them".to_owned(),
        ),
        "permission_unknown" => (
            ErrorKind::Misconfigured,
            "template_invalid",
            format!("a role template grants `{what}`, which nobody registered"),
        ),
        _ => (
            ErrorKind::Misconfigured,
            "template_changed",
            format!(
                "the role template `{what}` was registered with something else: give it a new version"
            ),
        ),
    };
    Err(Error::new(kind, code, message))
}

/// What the definitions grant to a default role.
fn granted_to(definitions: &Value, role: &RoleKey) -> Vec<String> {
    let granted = definitions
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| {
            let roles = entry.get("roles").and_then(Value::as_object);
            roles.is_some_and(|roles| roles.contains_key(role.as_str()))
        });
    let keys = granted.filter_map(|entry| entry.get("key").and_then(Value::as_str));
    keys.map(ToOwned::to_owned).collect()
}

/// One entry a key, whoever defines it first; its roles are those of all who define it.
fn as_json(permissions: &[PermissionDef]) -> Result<Value, Error> {
    let mut entries = Map::new();
    for permission in permissions {
        PermissionKey::parse(permission.key)?;
        let entry = entries.entry(permission.key).or_insert_with(|| {
            let roles = ALL_PERMISSIONS
                .iter()
                .map(|role| ((*role).to_owned(), Value::Null));
            json!({
                "key": permission.key,
                "description": permission.description,
                "roles": Value::Object(roles.collect()),
            })
        });
        for role in permission.roles {
            check_template(permission, role)?;
            if let Some(roles) = entry.get_mut("roles").and_then(Value::as_object_mut) {
                roles.insert((*role).to_owned(), Value::Null);
            }
        }
    }
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn check_template(permission: &PermissionDef, role: &str) -> Result<(), Error> {
    if TEMPLATES
        .iter()
        .any(|template| template.key.as_str() == role)
    {
        return Ok(());
    }
    let known: Vec<_> = TEMPLATES
        .iter()
        .map(|template| RoleKey::as_str(&template.key))
        .collect();
    let message = format!(
        "the permission `{}` names the role `{role}`, which is no template: use {}",
        permission.key,
        known.join(", ")
    );
    Err(Error::new(
        ErrorKind::Misconfigured,
        "template_unknown",
        message,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_who_define_one_permission_are_joined_and_a_strange_role_is_refused() {
        let defs = [
            PermissionDef::new("a.b", "first", &["member"]),
            PermissionDef::new("a.b", "second", &["viewer"]),
        ];
        let json = as_json(&defs).unwrap();
        let roles: Vec<_> = json[0]["roles"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            (json.as_array().unwrap().len(), &json[0]["description"]),
            (1, &json!("first"))
        );
        assert_eq!(roles, ["admin", "member", "owner", "viewer"]);

        let strange = [PermissionDef::new("a.b", "x", &["editor"])];
        assert_eq!(as_json(&strange).unwrap_err().code(), "template_unknown");
        let broken = [PermissionDef::new("A.B", "x", &[])];
        assert_eq!(
            as_json(&broken).unwrap_err().code(),
            "permission_key_invalid"
        );
    }
}
