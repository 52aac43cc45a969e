//! Migrations of several components, in one transaction, tracked in one table.
//!
//! sqlx's own `Migrator` leaves its session lock in the pool after a failure, can't hold several
//! sets, and needs `CREATE` even when nothing is pending; so it is not used.

mod component;
mod plan;

use sqlx::{PgConnection, PgPool};

pub use component::{Component, Migration, fingerprint};
use plan::{Applied, AppliedStep};

use super::operator::OperatorDb;
use crate::{Error, ErrorKind};

/// The core's own part of the schema.
pub const CORE: Component = Component::new("core", CORE_STEPS).with_permissions(crate::perm::ALL);

const CORE_STEPS: &[Migration] = &[
    Migration::new(
        1,
        "foundation",
        include_str!("../../../migrations/0001_foundation.sql"),
    ),
    Migration::new(
        2,
        "settings",
        include_str!("../../../migrations/0002_settings.sql"),
    ),
    Migration::new(
        3,
        "members",
        include_str!("../../../migrations/0003_members.sql"),
    ),
    Migration::new(
        4,
        "tenant_lifecycle",
        include_str!("../../../migrations/0004_tenant_lifecycle.sql"),
    ),
    Migration::new(
        5,
        "platform_log",
        include_str!("../../../migrations/0005_platform_log.sql"),
    ),
    Migration::new(
        6,
        "invitations",
        include_str!("../../../migrations/0006_invitations.sql"),
    ),
    Migration::new(
        7,
        "api_keys",
        include_str!("../../../migrations/0007_api_keys.sql"),
    ),
    Migration::new(
        8,
        "support",
        include_str!("../../../migrations/0008_support.sql"),
    ),
    Migration::new(
        9,
        "outbox",
        include_str!("../../../migrations/0009_outbox.sql"),
    ),
    Migration::new(
        10,
        "confined",
        include_str!("../../../migrations/0010_confined.sql"),
    ),
    Migration::new(
        11,
        "webhook_events",
        include_str!("../../../migrations/0011_webhook_events.sql"),
    ),
    Migration::new(
        12,
        "maintenance",
        include_str!("../../../migrations/0012_maintenance.sql"),
    ),
    Migration::new(
        13,
        "turns",
        include_str!("../../../migrations/0013_turns.sql"),
    )
    .breaking(),
    Migration::new(
        14,
        "epochs_are_times",
        include_str!("../../../migrations/0014_epochs_are_times.sql"),
    ),
];

/// How often a run is tried again when another database of the cluster changes the same roles.
const ATTEMPTS: u32 = 10;

/// One step that a run applied.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AppliedMigration {
    /// The component.
    pub component: &'static str,
    /// The step's version.
    pub version: i32,
    /// The step's name.
    pub name: &'static str,
}

/// Brings the schema up to date: all pending steps of all components, or none.
///
/// Processes that start at once wait for each other; databases of one cluster that migrate at
/// once don't disturb each other.
///
/// # Errors
/// [`Misconfigured`](ErrorKind::Misconfigured) if a step was changed after it ran, the schema no
/// longer serves this program, a required component or extension is missing, the server is too
/// old, or the login may not create roles.
pub async fn migrate(
    operator: &OperatorDb,
    components: &[&Component],
) -> Result<Vec<AppliedMigration>, Error> {
    let ordered = plan::order(components)?;
    let mut attempt = 1;
    loop {
        match run(operator.pool(), &ordered).await {
            Err(Failure::Sql { error, .. }) if attempt < ATTEMPTS && roles_changed(&error) => {
                tokio::time::sleep(std::time::Duration::from_millis(20) * attempt).await;
                attempt += 1;
            }
            Err(failure) => return Err(failure.into()),
            Ok(applied) => return Ok(applied),
        }
    }
}

/// The steps as SQL that can be pasted into an editor: one transaction, for an empty schema.
///
/// # Errors
/// As [`migrate`], for the components themselves.
pub fn print(components: &[&Component]) -> Result<String, Error> {
    let mut sql = String::from("BEGIN;\n");
    for component in plan::order(components)? {
        for step in component.migrations {
            sql.push_str(&printed(component.name, step));
        }
    }
    sql.push_str("\nCOMMIT;\n");
    Ok(sql)
}

fn printed(component: &str, step: &Migration) -> String {
    let Migration { version, name, .. } = step;
    let steps = step.sql.trim_end().trim_end_matches(';');
    let done = include_str!("../sql/migration_done.sql")
        .replace("$1", &format!("'{component}'"))
        .replace("$2", &version.to_string())
        .replace("$3", &format!("'{name}'"))
        .replace("$4", &format!("'\\x{}'", hex::encode(step.checksum())))
        .replace("$5", &step.compatible_from.to_string());
    format!(
        "\n-- {component} {version}: {name}\n{steps};\n\
         SET LOCAL ROLE tenancy_owner;\n{};\nSET LOCAL ROLE NONE;\n",
        done.trim_end()
    )
}

pub(crate) async fn verify(
    conn: &mut PgConnection,
    components: &[&Component],
) -> Result<(), Error> {
    let applied = applied(conn).await?;
    components
        .iter()
        .try_for_each(|component| plan::check(component, &applied))
}

enum Failure {
    Sql { step: String, error: sqlx::Error },
    Refused(Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql {
            step: "the run".to_owned(),
            error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Sql {
                step,
                error: sqlx::Error::Database(db),
            } => {
                let hint = match db.code().as_deref() {
                    Some("42501") => {
                        ": the login needs CREATEROLE, CREATE on the database, and membership in `tenancy_owner` and `tenancy_definer` if another login made them"
                    }
                    _ => "",
                };
                let message = format!("{step} failed: {}{hint}", db.message());
                Self::new(ErrorKind::Misconfigured, "migration_failed", message)
            }
            Failure::Sql { error, .. } => Self::from(error),
        }
    }
}

async fn run(pool: &PgPool, ordered: &[&Component]) -> Result<Vec<AppliedMigration>, Failure> {
    let mut tx = pool.begin().await?;
    sqlx::query(include_str!("../sql/migration_lock.sql"))
        .execute(&mut *tx)
        .await?;
    check_server(&mut tx).await?;
    let applied = applied(&mut tx).await?;
    let mut ran = Vec::new();
    for component in ordered {
        plan::served(component, &applied)?;
        let pending = plan::pending(component, &applied)?;
        if !pending.is_empty() {
            check_extensions(&mut tx, component).await?;
        }
        for step in pending {
            apply(&mut tx, component, step).await?;
            ran.push(AppliedMigration {
                component: component.name,
                version: step.version,
                name: step.name,
            });
        }
    }
    tx.commit().await?;
    Ok(ran)
}

async fn apply(
    conn: &mut PgConnection,
    component: &Component,
    step: &Migration,
) -> Result<(), Failure> {
    let failed = |error| Failure::Sql {
        step: format!(
            "migration {} (`{}`) of `{}`",
            step.version, step.name, component.name
        ),
        error,
    };
    sqlx::raw_sql(step.sql)
        .execute(&mut *conn)
        .await
        .map_err(failed)?;
    sqlx::raw_sql("SET LOCAL ROLE tenancy_owner")
        .execute(&mut *conn)
        .await?;
    sqlx::query(include_str!("../sql/migration_done.sql"))
        .bind(component.name)
        .bind(step.version)
        .bind(step.name)
        .bind(step.checksum().as_slice())
        .bind(step.compatible_from)
        .execute(&mut *conn)
        .await?;
    sqlx::raw_sql("SET LOCAL ROLE NONE")
        .execute(&mut *conn)
        .await?;
    Ok(())
}

async fn applied(conn: &mut PgConnection) -> Result<Applied, sqlx::Error> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('tenancy.schema_migrations') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
    if !there {
        return Ok(Applied::new());
    }
    let rows: Vec<(String, i32, Vec<u8>, i32)> =
        sqlx::query_as(include_str!("../sql/migrations_applied.sql"))
            .fetch_all(conn)
            .await?;
    let steps = rows
        .into_iter()
        .map(|(component, version, checksum, compatible_from)| {
            let step = AppliedStep {
                checksum,
                compatible_from,
            };
            ((component, version), step)
        });
    Ok(steps.collect())
}

async fn check_server(conn: &mut PgConnection) -> Result<(), Failure> {
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
        .fetch_one(conn)
        .await?;
    if version < 160_000 {
        let message = format!(
            "the server is Postgres {}, and 16 is the least",
            version / 10_000
        );
        return Err(Error::new(ErrorKind::Misconfigured, "server_too_old", message).into());
    }
    Ok(())
}

async fn check_extensions(conn: &mut PgConnection, component: &Component) -> Result<(), Failure> {
    for extension in component.extensions {
        let there: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = $1)",
        )
        .bind(extension)
        .fetch_one(&mut *conn)
        .await?;
        if !there {
            let message = format!(
                "`{}` needs the extension `{extension}` in this database: ask a superuser, or the provider's console, for CREATE EXTENSION {extension}",
                component.name
            );
            return Err(Error::new(ErrorKind::Misconfigured, "extension_missing", message).into());
        }
    }
    Ok(())
}

/// Whether two transactions changed the same role or grant at once, which Postgres reports by an
/// internal error or a unique violation in its own catalog.
fn roles_changed(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|db| match db.code().as_deref() {
            Some("40001" | "40P01") => true,
            Some("XX000") => db.message().contains("concurrently"),
            Some("23505") => db
                .constraint()
                .is_some_and(|name| name.starts_with("pg_auth")),
            _ => false,
        })
}
