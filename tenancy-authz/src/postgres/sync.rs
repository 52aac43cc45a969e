//! Registers permissions and templates.

use serde_json::{Map, Value, json};
use tenancy_core::{OperatorDb, PermissionDef, PermissionKey, RoleKey};

use super::db;
use crate::{
    Error, ErrorKind, TEMPLATES,
    model::{ALL_PERMISSIONS, templates_as_json},
};

/// Registers permissions and role templates; answers the permissions that are new.
///
/// It adds and never takes away, so that an older version of a host may do it after a newer one,
/// and two at once end as one. New permissions are granted to the roles that were made from
/// templates in every tenant, as their definitions say and always to `owner` and `admin`. What a
/// tenant changed stays as it is. Tenants from before this crate was migrated get their default
/// roles. All in one transaction.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for a key that breaks the grammar;
/// [`Misconfigured`](ErrorKind::Misconfigured) for a role that is no template.
pub async fn sync_permissions(
    operator: &OperatorDb,
    permissions: &[PermissionDef],
) -> Result<Vec<PermissionKey>, Error> {
    let permissions = as_json(permissions)?;
    let mut tx = operator.owner().await.map_err(Error::from)?;
    let added: Vec<String> = sqlx::query_scalar(include_str!("sql/register_permissions.sql"))
        .bind(templates_as_json())
        .bind(permissions)
        .fetch_one(&mut *tx)
        .await
        .map_err(db)?;
    tx.commit().await.map_err(db)?;
    added
        .into_iter()
        .map(|key| Ok(PermissionKey::parse(key)?))
        .collect()
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
