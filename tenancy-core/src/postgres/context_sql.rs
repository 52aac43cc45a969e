//! The one place where SQL is put together from values: the message that opens a transaction.
//!
//! Only uuids, parsed keys and numbers go in; none of them can hold a quote.

use std::{fmt::Write as _, time::Duration};

use sqlx::AssertSqlSafe;

use super::options::PoolerMode;
use crate::{Access, Error, ErrorKind, PermissionKey, RoleKey, TenantCtx, TenantId};

/// How a transaction is opened, beyond its tenant. All of it goes out with the message that opens
/// it, and ends with the transaction.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TxOptions {
    /// The isolation level; the server's default (read committed), if `None`.
    pub isolation: Option<Isolation>,
    /// Whether a serializable read waits for a moment in which it can't fail and makes no write
    /// of others fail; without effect on any other transaction.
    pub deferrable: bool,
    /// How long one statement may take; the connection's default, if `None`.
    pub statement_timeout: Option<Duration>,
    /// How long to wait for a lock; the connection's default, if `None`.
    pub lock_timeout: Option<Duration>,
    /// How long it may stay open and do nothing; the connection's default, if `None`. The server
    /// then closes the connection.
    pub idle_timeout: Option<Duration>,
    /// How long the whole transaction may take; unlimited, if `None`. The server then closes the
    /// connection. Postgres 17 and later know this limit; on an older one opening is refused,
    /// since a limit that silently is none would be worse.
    pub transaction_timeout: Option<Duration>,
    /// Whether a replica may serve it. A replica is behind: what was just written may not be there
    /// yet, and rights that were just taken away may still be. Without a replica, for writes, for
    /// serializable reads, and while the replica is away, the primary serves.
    pub replica: bool,
    /// Whether plans are made without asking of each partition if its CHECKs contradict the query
    /// (`constraint_exclusion`). Their bounds rule partitions out as ever. For tables of many partitions with
    /// many CHECKs that no query contradicts: each of them is asked for each plan.
    pub no_constraint_exclusion: bool,
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

    /// Bounds each time of doing nothing.
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Bounds the whole transaction; needs Postgres 17.
    pub fn with_transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = Some(timeout);
        self
    }

    /// Lets a replica serve the read, which may then be behind.
    pub fn on_replica(mut self) -> Self {
        self.replica = true;
        self
    }

    /// Plans without the CHECKs of partitions.
    pub fn without_constraint_exclusion(mut self) -> Self {
        self.no_constraint_exclusion = true;
        self
    }

    /// Lets a serializable read wait for a safe moment.
    pub fn deferrable(mut self) -> Self {
        self.deferrable = true;
        self
    }

    /// Takes the limits that it does not set itself from `others`.
    pub(crate) fn or_limits_of(&self, others: &Self) -> Self {
        Self {
            statement_timeout: self.statement_timeout.or(others.statement_timeout),
            lock_timeout: self.lock_timeout.or(others.lock_timeout),
            idle_timeout: self.idle_timeout.or(others.idle_timeout),
            ..self.clone()
        }
    }

    /// Refuses what this server can't keep.
    pub(crate) fn check_server(&self, version: Option<u32>) -> Result<(), Error> {
        if self.transaction_timeout.is_some() && version.is_some_and(|version| version < 170_000) {
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "transaction_timeout_unsupported",
                "a limit for whole transactions needs Postgres 17 or later",
            ));
        }
        Ok(())
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

/// Binds a transaction that another library opened, or breaks it.
/// See [`TenantDb::context_sql`](crate::TenantDb::context_sql).
pub(crate) fn for_another_library(ctx: &TenantCtx) -> String {
    let mut sql = String::with_capacity(768);
    // Outside of a transaction, where the settings would be gone before the next statement, there
    // is no savepoint.
    sql.push_str("SAVEPOINT tenancy_context;RELEASE tenancy_context;");
    sql.push_str("SELECT util.require_confined();");
    // An earlier context of the same transaction must not show through.
    for name in SETTINGS {
        set(&mut sql, name, "");
    }
    put_settings(&mut sql, ctx);
    if ctx.access() == Access::ReadOnly {
        set(&mut sql, "transaction_read_only", "on");
    }
    ask_anew(&mut sql, ctx);
    sql
}

/// Fails where the session of support is over that the context was made in.
fn ask_anew(sql: &mut String, ctx: &TenantCtx) {
    if ctx.is_in_session() {
        sql.push_str("SELECT tenancy.require_impersonation();");
    }
}

/// All that a context may set.
const SETTINGS: [&str; 8] = [
    "tenancy.tenant_id",
    "tenancy.user_id",
    "tenancy.request_id",
    "tenancy.actor_kind",
    "tenancy.actor_id",
    "tenancy.on_behalf_of",
    "tenancy.permissions",
    "tenancy.roles",
];

fn put_settings(sql: &mut String, ctx: &TenantCtx) {
    set(sql, "tenancy.tenant_id", ctx.tenant());
    if let Some(user) = ctx.user() {
        set(sql, "tenancy.user_id", user);
    }
    set(sql, "tenancy.request_id", ctx.request_id());
    let principal = ctx.principal();
    let plain_user = principal.on_behalf_of.is_none() && principal.actor.permissions().is_none();
    if !plain_user {
        set(sql, "tenancy.actor_kind", principal.actor.kind());
        set(sql, "tenancy.actor_id", principal.actor.id());
    }
    if let Some(user) = principal.on_behalf_of {
        set(sql, "tenancy.on_behalf_of", user);
    }
    if let Some(permissions) = principal.actor.permissions() {
        set(
            sql,
            "tenancy.permissions",
            joined(permissions.iter().map(PermissionKey::as_str)),
        );
    }
}

/// What kind of transaction is opened, and through what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) read_only: bool,
    pub(crate) pooler: PoolerMode,
    /// Whether a context of support has to be good at this moment.
    pub(crate) asks: bool,
}

/// Opens a transaction on a server connection that others used before, by way of a pooler. sqlx
/// names its statements by counting, and so does every other client: what they left has to go.
pub(crate) const FRESH_BEGIN: &str = "BEGIN;DEALLOCATE ALL";

pub(crate) fn begin(ctx: &TenantCtx, mode: Mode, options: &TxOptions) -> AssertSqlSafe<String> {
    let mut sql = String::with_capacity(256);
    sql.push_str("BEGIN");
    match options.isolation {
        Some(Isolation::ReadCommitted) => sql.push_str(" ISOLATION LEVEL READ COMMITTED"),
        Some(Isolation::RepeatableRead) => sql.push_str(" ISOLATION LEVEL REPEATABLE READ"),
        Some(Isolation::Serializable) => sql.push_str(" ISOLATION LEVEL SERIALIZABLE"),
        None => {}
    }
    if mode.read_only {
        sql.push_str(" READ ONLY");
    }
    if options.deferrable {
        sql.push_str(" DEFERRABLE");
    }
    sql.push(';');
    if mode.pooler == PoolerMode::Transaction {
        sql.push_str("DEALLOCATE ALL;");
    }
    put_settings(&mut sql, ctx);
    let limits = [
        ("statement_timeout", options.statement_timeout),
        ("lock_timeout", options.lock_timeout),
        ("idle_in_transaction_session_timeout", options.idle_timeout),
        ("transaction_timeout", options.transaction_timeout),
    ];
    for (name, limit) in limits {
        if let Some(limit) = limit {
            set(&mut sql, name, millis(limit));
        }
    }
    if options.no_constraint_exclusion {
        set(&mut sql, "constraint_exclusion", "off");
    }
    if mode.asks {
        ask_anew(&mut sql, ctx);
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
    use crate::{Principal, ServiceKey, UserId};

    fn settings(ctx: &TenantCtx) -> String {
        let mut sql = String::new();
        put_settings(&mut sql, ctx);
        sql
    }

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
    fn whatever_a_context_can_set_is_cleared_for_another_library() {
        let permissions = vec![PermissionKey::from_static("a.b")];
        let service = Principal::service(ServiceKey::from_static("importer"), permissions);
        let support = Principal::user(UserId::new()).on_behalf_of(UserId::new());
        for principal in [service, support] {
            let ctx = TenantCtx::proven(TenantId::new(), principal, Access::ReadWrite);
            for setting in settings(&ctx).split_terminator(';') {
                let name = setting.trim_start_matches("SET LOCAL ");
                let name = name.split('=').next().unwrap();
                assert!(SETTINGS.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn a_timeout_below_a_millisecond_does_not_become_unlimited() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
    }
}
