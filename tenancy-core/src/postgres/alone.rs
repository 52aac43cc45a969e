//! What stands in for the parts a host does not use, and says so by its name.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Actor, AuditSink, Authorizer, Decision, DenyReason, Error, ErrorKind, Event, HeldRole, Kept,
    Outcome, PermissionKey, PlatformEvent, PlatformLog, RoleDirectory, RoleKey, RolesChange,
    TenantCtx, TenantDb, TenantTx, UserId,
};

/// Records nothing: for a host that wants no audit log and says it aloud.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoAudit;

impl NoAudit {
    /// A sink that records nothing.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl AuditSink for NoAudit {
    async fn record(&self, _: &TenantCtx, _: Event) -> Result<(), Error> {
        Ok(())
    }

    async fn record_in(&self, _: &mut TenantTx, _: Event) -> Result<Kept, Error> {
        Ok(Kept::Nowhere)
    }
}

/// Keeps no platform log: for a host that wants none and says it aloud.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoPlatformLog;

impl NoPlatformLog {
    /// A log that keeps nothing.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl PlatformLog for NoPlatformLog {
    fn note(&self, _: PlatformEvent) {}

    async fn flush(&self) {}
}

/// Keeps no roles: for a host without `tenancy-authz`. Members and owners are all there is.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoRoles;

impl NoRoles {
    /// A directory that knows one role, `member`, and stores nothing.
    pub fn new() -> Self {
        Self
    }
}

const MEMBER: RoleKey = RoleKey::from_static("member");

#[async_trait]
impl RoleDirectory for NoRoles {
    async fn seed_in(&self, _: &mut TenantTx, _: UserId) -> Result<(), Error> {
        Ok(())
    }

    async fn may_grant_in(&self, _: &mut TenantTx, roles: &[RoleKey]) -> Result<(), Error> {
        match roles.iter().find(|role| **role != MEMBER) {
            None => Ok(()),
            Some(role) => {
                let message = format!("there is no role `{role}`: without roles, use `member`");
                Err(Error::new(ErrorKind::NotFound, "role_unknown", message))
            }
        }
    }

    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        _: UserId,
        roles: &[RoleKey],
    ) -> Result<Option<RolesChange>, Error> {
        self.may_grant_in(tx, roles).await?;
        Ok(None)
    }

    async fn held_in(&self, _: &mut TenantTx, _: UserId) -> Result<Vec<HeldRole>, Error> {
        Ok(Vec::new())
    }

    async fn set_owner_in(
        &self,
        _: &mut TenantTx,
        _: UserId,
        _: bool,
    ) -> Result<Option<RolesChange>, Error> {
        Ok(None)
    }

    async fn assign_invited_in(
        &self,
        tx: &mut TenantTx,
        _: UserId,
        _: UserId,
        roles: &[RoleKey],
    ) -> Result<(), Error> {
        self.may_grant_in(tx, roles).await
    }
}

/// Lets owners do everything and other members nothing: for a host without `tenancy-authz`.
///
/// Services have the permissions they bring along, and so have API keys whose maker is an owner.
#[derive(Clone)]
pub struct OwnerAuthorizer {
    db: TenantDb,
    audit: Arc<dyn AuditSink>,
}

impl OwnerAuthorizer {
    /// Decides by the memberships of this database; denials go to `audit`.
    pub fn new(db: TenantDb, audit: Arc<dyn AuditSink>) -> Self {
        Self { db, audit }
    }

    async fn require_decided(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
        decision: Decision,
    ) -> Result<(), Error> {
        let Decision::Deny(reason) = decision else {
            return Ok(());
        };
        let event = Event::new("access.denied")
            .outcome(Outcome::Denied)
            .target("permission", permission)
            .meta("reason", reason.as_str());
        if let Err(error) = self.audit.record(ctx, event).await {
            metrics::counter!("tenancy_denials_unrecorded_total").increment(1);
            tracing::error!(%error, tenant = %ctx.tenant(), "a denial could not be recorded");
        }
        Err(Error::refused(permission, reason))
    }
}

#[async_trait]
impl Authorizer for OwnerAuthorizer {
    async fn check(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<Decision, Error> {
        let mut tx = self.db.aside(ctx).await?;
        self.check_in(&mut tx, permission).await
    }

    async fn check_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<Decision, Error> {
        let ctx = tx.ctx().clone();
        let brought = ctx.principal().actor.permissions();
        let is_withheld = ctx.principal().is_closed_to(permission)
            || brought.is_some_and(|brought| !brought.contains(permission));
        let Some(user) = ctx.user().or(ctx.maker()) else {
            return Ok(match (brought, is_withheld) {
                (None, _) => Decision::Deny(DenyReason::NotAMember),
                (Some(_), true) => Decision::Deny(DenyReason::NotGranted),
                (Some(_), false) => Decision::Allow,
            });
        };
        let is_owner: Option<bool> = sqlx::query_scalar(include_str!("sql/member_is_owner.sql"))
            .bind(ctx.tenant())
            .bind(user)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(match is_owner {
            None => Decision::Deny(DenyReason::NotAMember),
            Some(true) if !is_withheld => Decision::Allow,
            Some(_) => Decision::Deny(DenyReason::NotGranted),
        })
    }

    async fn require_key(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<(), Error> {
        let decision = self.check(ctx, permission).await?;
        self.require_decided(ctx, permission, decision).await
    }

    async fn require_key_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<(), Error> {
        let decision = self.check_in(tx, permission).await?;
        let ctx = tx.ctx().clone();
        self.require_decided(&ctx, permission, decision).await
    }

    async fn roles_in(&self, tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error> {
        Ok(match tx.ctx().principal().actor {
            Actor::User { .. } => vec![MEMBER],
            _ => Vec::new(),
        })
    }
}

impl std::fmt::Debug for OwnerAuthorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnerAuthorizer").finish_non_exhaustive()
    }
}
