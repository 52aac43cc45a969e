//! A database with two tenants, and what the tests have in common.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::PgPool;
use tenancy_authz::{
    AuthzOptions, COMPONENT, PgAuthorizer, RoleName, Roles, Wildcard, sync_permissions, testing,
};
use tenancy_core::{
    AuditSink, Authorizer as _, Error, ErrorKind, Event, Kept, PermissionDef, PermissionKey,
    RoleKey, TenantCtx, TenantDb, TenantTx, UserId,
    migrate::{CORE, Component},
    testing::{MemoryAudit, Recorded},
};
use tenancy_testkit::Db;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

tenancy_core::permissions! {
    /// The permissions of the host in these tests.
    pub mod perm {
        TemplatesRead = "templates.read", "see templates", [member, support, viewer];
        TemplatesWrite = "templates.write", "change templates", [member];
        TemplatesPurge = "templates.purge", "delete templates for good", [];
    }
}

pub(crate) const READ: PermissionKey = PermissionKey::from_static("templates.read");
pub(crate) const WRITE: PermissionKey = PermissionKey::from_static("templates.write");
pub(crate) const PURGE: PermissionKey = PermissionKey::from_static("templates.purge");

/// What the host registers: its own permissions and those of the components it uses.
pub(crate) fn definitions() -> Vec<PermissionDef> {
    [CORE.permissions, COMPONENT.permissions, perm::ALL].concat()
}

/// A migrated and synchronised database with a tenant and its owner, and another tenant.
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) audit: MemoryAudit,
    pub(crate) authz: Arc<PgAuthorizer>,
    pub(crate) roles: Roles,
    pub(crate) owner: TenantCtx,
    pub(crate) other_owner: TenantCtx,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::with(AuthzOptions::default()).await
    }

    pub(crate) async fn with(options: AuthzOptions) -> Result<Self> {
        Self::made_of(&[&CORE, &COMPONENT], options).await
    }

    pub(crate) async fn made_of(
        parts: &'static [&'static Component],
        options: AuthzOptions,
    ) -> Result<Self> {
        let db = Db::new(parts).await?;
        sync_permissions(&db.operator, &definitions()).await?;
        let audit = MemoryAudit::new();
        let authz = authorizer(&db.app, &audit, options);
        let roles = Roles::new(db.app.clone(), authz.clone(), Arc::new(audit.clone()));
        let owner = testing::tenant(&db.app, &authz).await?;
        let other_owner = testing::tenant(&db.app, &authz).await?;
        Ok(Self {
            db,
            audit,
            authz,
            roles,
            owner,
            other_owner,
        })
    }

    /// A fresh member of the first tenant.
    pub(crate) async fn member(&self, roles: &[&'static str]) -> Result<TenantCtx> {
        Ok(testing::member(&self.db.app, &self.authz, &self.owner, roles).await?)
    }

    pub(crate) async fn allowed(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
    ) -> Result<bool> {
        Ok(self.authz.check(ctx, permission).await?.is_allowed())
    }

    /// What the SQL function says in a transaction of this context.
    pub(crate) async fn allowed_by_sql(
        &self,
        ctx: &TenantCtx,
        permission: &PermissionKey,
    ) -> Result<bool> {
        let mut tx = self.db.app.read(ctx).await?;
        Ok(
            sqlx::query_scalar("SELECT util.user_has_permission($1, $2)")
                .bind(ctx.tenant())
                .bind(permission.as_str())
                .fetch_one(&mut *tx)
                .await?,
        )
    }

    /// Every row of the tables of roles but the times at which things were made, as text.
    pub(crate) async fn dump(&self) -> Result<String> {
        dump(&self.db.superuser().await?).await
    }

    /// Runs statements behind all policies.
    pub(crate) async fn as_superuser(&self, sql: &'static str) -> Result {
        sqlx::raw_sql(sql)
            .execute(&self.db.superuser().await?)
            .await?;
        Ok(())
    }
}

pub(crate) fn authorizer(
    db: &TenantDb,
    audit: &MemoryAudit,
    options: AuthzOptions,
) -> Arc<PgAuthorizer> {
    Arc::new(PgAuthorizer::with_options(
        db.clone(),
        Arc::new(audit.clone()),
        options,
    ))
}

pub(crate) fn role_named(key: &str) -> RoleKey {
    RoleKey::parse(key).expect("a role key")
}

pub(crate) fn wildcard(text: &str) -> Wildcard {
    Wildcard::parse(text).expect("a wildcard")
}

pub(crate) fn name(text: &str) -> RoleName {
    RoleName::parse(text).expect("a name")
}

pub(crate) fn role(key: &'static str) -> RoleKey {
    RoleKey::from_static(key)
}

pub(crate) fn user(ctx: &TenantCtx) -> UserId {
    ctx.user().expect("a context of a user")
}

async fn dump(superuser: &PgPool) -> Result<String> {
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(' ', 'permission', key, bit, description) FROM tenancy.permissions
         UNION ALL SELECT concat_ws(' ', 'template', key, revision, version, name, permissions, wildcards, parents) FROM tenancy.role_templates
         UNION ALL SELECT concat_ws(' ', 'role', tenant_id, key, name, is_system, template_revision) FROM tenancy.roles
         UNION ALL SELECT concat_ws(' ', 'grant', tenant_id, role_key, permission_key, is_direct) FROM tenancy.role_permissions
         UNION ALL SELECT concat_ws(' ', 'wildcard', tenant_id, role_key, pattern) FROM tenancy.role_wildcards
         UNION ALL SELECT concat_ws(' ', 'parent', tenant_id, role_key, parent_key) FROM tenancy.role_parents
         UNION ALL SELECT concat_ws(' ', 'upgrade', tenant_id, role_key, revision, outcome) FROM tenancy.role_upgrades
         UNION ALL SELECT concat_ws(' ', 'serial', tenant_id, serial) FROM tenancy.role_state
         UNION ALL SELECT concat_ws(' ', 'member', tenant_id, user_id, role_key, granted_by, expires_at) FROM tenancy.member_roles
         UNION ALL SELECT concat_ws(' ', 'retired', tenant_id, key) FROM tenancy.retired_roles
         UNION ALL SELECT concat_ws(' ', 'epoch', tenant_id, epoch) FROM tenancy.tenant_epoch
         UNION ALL SELECT concat_ws(' ', 'next bit', next_bit) FROM tenancy.permission_bits
         ORDER BY 1",
    )
    .fetch_all(superuser)
    .await?;
    Ok(rows.join("\n"))
}

/// An audit log that is down.
pub(crate) struct NoAuditToday;

#[async_trait]
impl AuditSink for NoAuditToday {
    async fn record(&self, _: &TenantCtx, _: Event) -> Result<(), Error> {
        Err(Error::new(
            ErrorKind::Unavailable,
            "audit_down",
            "the audit log is down",
        ))
    }

    async fn record_in(&self, _: &mut TenantTx, _: Event) -> Result<Kept, Error> {
        Err(Error::new(
            ErrorKind::Unavailable,
            "audit_down",
            "the audit log is down",
        ))
    }
}

/// What entries tell: the action, and how it was before and is after.
pub(crate) fn told(entries: &[Recorded]) -> Vec<(&str, Value, Value)> {
    let told = entries.iter().map(|entry| {
        let meta = &entry.event.meta;
        (
            entry.event.action.as_str(),
            meta["before"].clone(),
            meta["after"].clone(),
        )
    });
    told.collect()
}
