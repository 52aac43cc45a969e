//! All parts in one call.

use tenancy_core::{
    Error, OperatorDb, PermissionDef, TenantDb,
    migrate::{self, AppliedMigration, Component},
};

/// The parts of the family that are switched on, the core first.
pub fn components() -> Vec<&'static Component> {
    vec![
        &migrate::CORE,
        #[cfg(feature = "audit")]
        &tenancy_audit::COMPONENT,
        #[cfg(feature = "authz")]
        &tenancy_authz::COMPONENT,
        #[cfg(feature = "secrets")]
        &tenancy_secrets::COMPONENT,
        #[cfg(feature = "jobs")]
        &tenancy_jobs::COMPONENT,
        #[cfg(feature = "mcp")]
        &tenancy_mcp::COMPONENT,
        #[cfg(feature = "rag")]
        &tenancy_rag::COMPONENT,
    ]
}

/// Sets of triggers for a database on one node, as a second net under the functions and grants of the
/// parts that are switched on: nothing rewrites the audit log, and whatever changes who may do what is heard
/// of by every cache. Hand them to [`migrate()`] with the host's own components, once and from then on. A
/// cluster of shards takes no triggers, and goes without.
pub fn single_node() -> Vec<&'static Component> {
    vec![
        #[cfg(feature = "audit")]
        &tenancy_audit::APPEND_ONLY,
        #[cfg(feature = "authz")]
        &tenancy_authz::EPOCH_TRIGGERS,
    ]
}

/// What [`migrate()`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Migrated {
    /// The steps that were applied; empty if the schema was up to date.
    pub applied: Vec<AppliedMigration>,
    /// How many permissions are registered now.
    pub permissions: usize,
}

/// Brings the schema of all parts, and of the host's own components, up to date, and registers
/// their permissions. Safe to run by every process that starts, and in a rolling deploy.
///
/// # Errors
/// As [`tenancy_core::migrate::migrate`]; the schema is changed as a whole or not at all.
pub async fn migrate(
    operator: &OperatorDb,
    host: &[&'static Component],
) -> Result<Migrated, Error> {
    let (applied, permissions) = schema(operator, host).await?;
    #[cfg(feature = "authz")]
    tenancy_authz::sync_permissions(operator, &permissions).await?;
    Ok(Migrated {
        applied,
        permissions: permissions.len(),
    })
}

/// The same with role templates of the host, which every tenant is brought up to date with; answers
/// what that changed.
///
/// # Errors
/// As [`migrate()`] and [`tenancy_authz::sync_roles`].
#[cfg(feature = "authz")]
pub async fn migrate_with_roles(
    operator: &OperatorDb,
    host: &[&'static Component],
    templates: &[tenancy_authz::RoleTemplate],
) -> Result<(Migrated, tenancy_authz::Synced), Error> {
    let (applied, permissions) = schema(operator, host).await?;
    let synced = tenancy_authz::sync_roles(operator, &permissions, templates).await?;
    let permissions = permissions.len();
    Ok((
        Migrated {
            applied,
            permissions,
        },
        synced,
    ))
}

/// Brings the schema up to date; answers the steps, and the permissions of all parts.
async fn schema(
    operator: &OperatorDb,
    host: &[&'static Component],
) -> Result<(Vec<AppliedMigration>, Vec<PermissionDef>), Error> {
    let all: Vec<&Component> = components()
        .into_iter()
        .chain(host.iter().copied())
        .collect();
    let applied = migrate::migrate(operator, &all).await?;
    let permissions = all.iter().flat_map(|part| part.permissions);
    Ok((applied, permissions.copied().collect()))
}

/// Refuses a schema that these parts can't work with. Reads only: for the start of a service.
///
/// # Errors
/// As [`TenantDb::verify`].
pub async fn verify(db: &TenantDb, host: &[&'static Component]) -> Result<(), Error> {
    let all: Vec<&Component> = components()
        .into_iter()
        .chain(host.iter().copied())
        .collect();
    db.verify(&all).await
}
