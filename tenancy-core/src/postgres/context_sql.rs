//! The one place where SQL is put together from values: the message that opens a transaction.
//!
//! Only uuids, parsed keys and numbers go in; none of them can hold a quote.

use std::{fmt::Write as _, time::Duration};

use sqlx::AssertSqlSafe;

use crate::{PermissionKey, RoleKey, TenantCtx, TenantId};

/// How a transaction is opened, beyond its tenant.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TxOptions {
    /// The isolation level; the server's default (read committed), if `None`.
    pub isolation: Option<Isolation>,
    /// How long one statement may take; the connection's default, if `None`.
    pub statement_timeout: Option<Duration>,
    /// How long to wait for a lock; the connection's default, if `None`.
    pub lock_timeout: Option<Duration>,
}

impl TxOptions {
    /// Sets the isolation level.
    pub fn with_isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Bounds each statement.
    pub fn with_statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = Some(timeout);
        self
    }

    /// Bounds each wait for a lock.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = Some(timeout);
        self
    }
}

/// Isolation levels of Postgres.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// The transaction sees what was committed before its first statement.
    RepeatableRead,
    /// As if transactions ran one after the other.
    Serializable,
}

/// The statements that set the context, for a host that opens its transactions with another
/// library. See [`TenantDb::context_sql`](crate::TenantDb::context_sql).
pub(crate) fn settings(ctx: &TenantCtx) -> String {
    let mut sql = String::with_capacity(192);
    set(&mut sql, "tenancy.tenant_id", ctx.tenant());
    if let Some(user) = ctx.user() {
        set(&mut sql, "tenancy.user_id", user);
    }
    set(&mut sql, "tenancy.request_id", ctx.request_id());
    let principal = ctx.principal();
    let plain_user = principal.on_behalf_of.is_none() && principal.actor.permissions().is_none();
    if !plain_user {
        set(&mut sql, "tenancy.actor_kind", principal.actor.kind());
        set(&mut sql, "tenancy.actor_id", principal.actor.id());
    }
    if let Some(user) = principal.on_behalf_of {
        set(&mut sql, "tenancy.on_behalf_of", user);
    }
    if let Some(permissions) = principal.actor.permissions() {
        set(
            &mut sql,
            "tenancy.permissions",
            joined(permissions.iter().map(PermissionKey::as_str)),
        );
    }
    sql
}

pub(crate) fn begin(
    ctx: &TenantCtx,
    read_only: bool,
    options: &TxOptions,
) -> AssertSqlSafe<String> {
    let mut sql = String::with_capacity(256);
    sql.push_str("BEGIN");
    match options.isolation {
        Some(Isolation::ReadCommitted) => sql.push_str(" ISOLATION LEVEL READ COMMITTED"),
        Some(Isolation::RepeatableRead) => sql.push_str(" ISOLATION LEVEL REPEATABLE READ"),
        Some(Isolation::Serializable) => sql.push_str(" ISOLATION LEVEL SERIALIZABLE"),
        None => {}
    }
    if read_only {
        sql.push_str(" READ ONLY");
    }
    sql.push(';');
    sql.push_str(&settings(ctx));
    if let Some(timeout) = options.statement_timeout {
        set(&mut sql, "statement_timeout", millis(timeout));
    }
    if let Some(timeout) = options.lock_timeout {
        set(&mut sql, "lock_timeout", millis(timeout));
    }
    AssertSqlSafe(sql)
}

/// Opens a tenant to the owner of the family's tables, for an export or a purge.
pub(crate) fn begin_as_owner(tenant: TenantId, snapshot: bool) -> AssertSqlSafe<String> {
    let mut sql = String::with_capacity(320);
    sql.push_str(if snapshot {
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    } else {
        "BEGIN;"
    });
    sql.push_str("SET LOCAL ROLE tenancy_owner;");
    set(&mut sql, "tenancy.tenant_id", tenant);
    if snapshot {
        sql.push_str("SET LOCAL search_path=pg_catalog,pg_temp;");
        for (name, value) in [
            ("timezone", "UTC"),
            ("datestyle", "ISO"),
            ("intervalstyle", "iso_8601"),
            ("bytea_output", "hex"),
            ("extra_float_digits", "1"),
        ] {
            set(&mut sql, name, value);
        }
    }
    AssertSqlSafe(sql)
}

/// Binds the roles that role-scoped reads of the rest of the transaction see.
pub(crate) fn bind_roles(roles: &[RoleKey]) -> AssertSqlSafe<String> {
    let mut sql = String::new();
    set(
        &mut sql,
        "tenancy.roles",
        joined(roles.iter().map(RoleKey::as_str)),
    );
    AssertSqlSafe(sql)
}

fn set(sql: &mut String, name: &str, value: impl std::fmt::Display) {
    // Writing to a String can't fail.
    let _ = write!(sql, "SET LOCAL {name}='{value}';");
}

fn joined<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    keys.collect::<Vec<_>>().join(",")
}

/// Postgres reads 0 as "no limit", so less than a millisecond becomes one.
fn millis(timeout: Duration) -> u128 {
    timeout.as_millis().clamp(1, i32::MAX as u128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Principal, ServiceKey, UserId};

    #[test]
    fn a_user_needs_three_settings_and_a_service_brings_its_permissions() {
        let user = TenantCtx::proven(
            TenantId::new(),
            Principal::user(UserId::new()),
            Access::ReadWrite,
        );
        assert_eq!(settings(&user).matches("SET LOCAL").count(), 3);

        let permissions = vec![
            PermissionKey::from_static("a.b"),
            PermissionKey::from_static("c.d"),
        ];
        let service = Principal::service(ServiceKey::from_static("importer"), permissions);
        let sql = settings(&TenantCtx::proven(
            TenantId::new(),
            service,
            Access::ReadWrite,
        ));
        assert!(sql.contains("SET LOCAL tenancy.actor_kind='service';"));
        assert!(sql.contains("SET LOCAL tenancy.permissions='a.b,c.d';"));
        assert!(!sql.contains("tenancy.user_id"));
    }

    #[test]
    fn a_timeout_below_a_millisecond_does_not_become_unlimited() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
    }
}
