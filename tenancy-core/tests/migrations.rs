//! Migrations: whole or not at all, by several at once, without a superuser.

use tenancy_core::{
    ErrorKind, OperatorDb, TenantDb,
    migrate::{self, CORE, Component, Migration},
};
use tenancy_devdb::{DevDb, TestDb};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const GOOD: Component = Component::new(
    "host",
    &[Migration::new(
        1,
        "first",
        "CREATE TABLE public.first (id int)",
    )],
)
.with_requires(&["core"]);
const CHANGED: Component = Component::new(
    "host",
    &[Migration::new(
        1,
        "first",
        "CREATE TABLE public.other (id int)",
    )],
)
.with_requires(&["core"]);
const BROKEN: Component = Component::new(
    "host",
    &[
        Migration::new(1, "first", "CREATE TABLE public.first (id int)"),
        Migration::new(2, "second", "CREATE TABLE public.first (id int)"),
    ],
)
.with_requires(&["core"]);
const NEEDY: Component = Component::new("needy", &[Migration::new(1, "first", "SELECT 1")])
    .with_requires(&["core"])
    .with_extensions(&["vector"]);

#[tokio::test]
async fn a_login_that_is_no_superuser_migrates_and_running_again_changes_nothing() -> Result {
    let db = TestDb::empty().await?;
    let operator = OperatorDb::connect(db.operator_url()).await?;
    let steps = CORE.migrations.len() + GOOD.migrations.len();
    assert_eq!(
        migrate::migrate(&operator, &[&GOOD, &CORE]).await?.len(),
        steps
    );
    assert!(
        migrate::migrate(&operator, &[&CORE, &GOOD])
            .await?
            .is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn a_failing_step_leaves_nothing_behind() -> Result {
    let db = TestDb::empty().await?;
    let operator = OperatorDb::connect(db.operator_url()).await?;
    let error = migrate::migrate(&operator, &[&CORE, &BROKEN])
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("migration 2 (`second`) of `host`"),
        "{error}"
    );
    let left: bool = sqlx::query_scalar(
        "SELECT to_regnamespace('tenancy') IS NOT NULL OR to_regclass('public.first') IS NOT NULL",
    )
    .fetch_one(operator.pool())
    .await?;
    assert!(!left);
    migrate::migrate(&operator, &[&CORE, &GOOD]).await?;
    Ok(())
}

#[tokio::test]
async fn a_step_changed_after_it_ran_and_a_missing_component_are_refused() -> Result {
    let db = Db::new(&[&CORE, &GOOD]).await?;
    let changed = migrate::migrate(&db.operator, &[&CORE, &CHANGED])
        .await
        .unwrap_err();
    assert_eq!(changed.code(), "migration_changed");
    let alone = migrate::migrate(&db.operator, &[&GOOD]).await.unwrap_err();
    assert_eq!(alone.code(), "component_missing");
    Ok(())
}

#[tokio::test]
async fn eight_databases_of_one_cluster_migrate_at_once() -> Result {
    let mut databases = Vec::new();
    for _ in 0..8 {
        databases.push(TestDb::empty().await?);
    }
    let runs = databases.iter().map(|db| async {
        let operator = OperatorDb::connect(db.operator_url()).await?;
        migrate::migrate(&operator, &[&CORE]).await
    });
    for run in futures_util::future::join_all(runs).await {
        assert_eq!(run?.len(), CORE.migrations.len());
    }
    Ok(())
}

#[tokio::test]
async fn eight_processes_that_start_on_one_database_migrate_it_once() -> Result {
    let db = TestDb::empty().await?;
    let runs = (0..8).map(|_| async {
        let operator = OperatorDb::connect(db.operator_url()).await?;
        migrate::migrate(&operator, &[&CORE]).await
    });
    let mut applied = 0;
    for run in futures_util::future::join_all(runs).await {
        applied += run?.len();
    }
    assert_eq!(applied, CORE.migrations.len());
    Ok(())
}

#[tokio::test]
async fn a_missing_extension_is_named_with_what_to_ask_for() -> Result {
    let dev = DevDb::start().await?;
    let db = dev.empty_test_db_without_vector().await?;
    let operator = OperatorDb::connect(db.operator_url()).await?;
    let error = migrate::migrate(&operator, &[&CORE, &NEEDY])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Misconfigured, "extension_missing")
    );
    assert!(
        error.to_string().contains("CREATE EXTENSION vector"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn the_printed_sql_makes_a_schema_that_verifies() -> Result {
    let db = TestDb::empty().await?;
    let operator = OperatorDb::connect(db.operator_url()).await?;
    let script = migrate::print(&[&CORE, &GOOD])?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(script))
        .execute(operator.pool())
        .await?;
    assert!(
        migrate::migrate(&operator, &[&CORE, &GOOD])
            .await?
            .is_empty()
    );
    db.server().grant_logins().await?;
    TenantDb::connect(db.app_url())
        .await?
        .verify(&[&CORE, &GOOD])
        .await?;
    Ok(())
}
