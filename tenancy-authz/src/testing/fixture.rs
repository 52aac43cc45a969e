//! Tenants and members with roles, in one line.

use std::sync::Arc;

use tenancy_core::{
    Email, Error, Invitations, NewInvitation, RoleKey, TenantCtx, TenantDb, UserId,
    testing::{MemoryAudit, TestTenant},
};

use crate::PgAuthorizer;

/// Creates a tenant with a fresh name, its default roles and an owner, and enters as him.
pub async fn tenant(db: &TenantDb, authz: &Arc<PgAuthorizer>) -> Result<TenantCtx, Error> {
    let tenant = TestTenant::builder(db).with_roles(authz.clone());
    Ok(tenant.create().await?.owner().clone())
}

/// Adds a fresh member with these roles to the tenant of `owner`, and enters as him.
pub async fn member(
    db: &TenantDb,
    authz: &Arc<PgAuthorizer>,
    owner: &TenantCtx,
    roles: &[&'static str],
) -> Result<TenantCtx, Error> {
    join(db, authz, owner, UserId::new(), roles).await
}

/// Adds this user with these roles to the tenant of `owner`, and enters as him.
pub async fn join(
    db: &TenantDb,
    authz: &Arc<PgAuthorizer>,
    owner: &TenantCtx,
    user: UserId,
    roles: &[&'static str],
) -> Result<TenantCtx, Error> {
    let audit = Arc::new(MemoryAudit::new());
    let invitations = Invitations::new(db.clone(), authz.clone(), authz.clone(), audit);
    let email = Email::parse(&format!("{}@example.com", user.as_uuid().simple()))?;
    let roles = roles
        .iter()
        .map(|role| RoleKey::from_static(role))
        .collect();
    let sent = invitations
        .invite(owner, NewInvitation::new(email.clone(), roles))
        .await?;
    invitations.accept(sent.token.expose(), user, &email).await
}
