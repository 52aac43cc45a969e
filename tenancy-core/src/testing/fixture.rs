//! Tenants and members in one line.

use std::sync::Arc;

use super::{FakeAuthorizer, MemoryAudit};
use crate::{
    Email, Error, Invitations, NewInvitation, NewTenant, NoRoles, RoleKey, Slug, TenantCtx,
    TenantDb, TenantName, Tenants, UserId,
};

/// Creates a tenant with a fresh name and owner, without roles and audit.
pub async fn tenant(db: &TenantDb) -> Result<TenantCtx, Error> {
    let owner = UserId::new();
    let slug = format!("t-{}", owner.as_uuid().simple());
    let new = NewTenant::new(Slug::parse(&slug)?, TenantName::parse(&slug)?, owner);
    let tenants = Tenants::new(
        db.clone(),
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(NoRoles::new()),
        Arc::new(MemoryAudit::new()),
    );
    tenants.create(new).await
}

/// Adds a fresh member to the tenant of `owner`, and enters as him.
pub async fn member(db: &TenantDb, owner: &TenantCtx) -> Result<TenantCtx, Error> {
    join(db, owner, UserId::new()).await
}

/// Adds this user to the tenant of `owner`, and enters as him.
pub async fn join(db: &TenantDb, owner: &TenantCtx, user: UserId) -> Result<TenantCtx, Error> {
    let invitations = Invitations::new(
        db.clone(),
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(NoRoles::new()),
        Arc::new(MemoryAudit::new()),
    );
    let email = Email::parse(&format!("{}@example.com", user.as_uuid().simple()))?;
    let roles = vec![RoleKey::from_static("member")];
    let sent = invitations
        .invite(owner, NewInvitation::new(email.clone(), roles))
        .await?;
    invitations.accept(sent.token.expose(), user, &email).await
}
