//! Programs of two versions on one schema, while a deployment rolls.

use std::sync::Arc;

use tenancy_core::{
    Error, ErrorKind, OperatorDb, Retry, TenantCtx, TenantDb, WorkerDb,
    migrate::{self, CORE, Component, Migration},
    testing,
};
use tenancy_devdb::TestDb;
use tenancy_testkit::Db;
use tokio::sync::Barrier;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const BOOKS: Migration = Migration::new(
    1,
    "books",
    "CREATE TABLE tenancy.books (tenant_id uuid NOT NULL, name text);
     SELECT tenancy.protect_table('tenancy.books')",
);
/// Expands: what is called a name is going to be called a title.
const TITLES: Migration = Migration::new(
    2,
    "titles",
    "ALTER TABLE tenancy.books ADD COLUMN title text",
);
/// Contracts: whoever knows titles has no need of names any more.
const NO_NAMES: Migration =
    Migration::new(3, "no_names", "ALTER TABLE tenancy.books DROP COLUMN name").compatible_from(2);
const PAGES: Migration = Migration::new(
    4,
    "pages",
    "ALTER TABLE tenancy.books ADD COLUMN pages integer",
);

const V1: Component = Component::new("library", &[BOOKS]).with_requires(&["core"]);
const V2: Component = Component::new("library", &[BOOKS, TITLES]).with_requires(&["core"]);
const V3: Component =
    Component::new("library", &[BOOKS, TITLES, NO_NAMES]).with_requires(&["core"]);
const V4: Component =
    Component::new("library", &[BOOKS, TITLES, NO_NAMES, PAGES]).with_requires(&["core"]);
const CHANGED: Component = Component::new(
    "library",
    &[Migration::new(
        1,
        "books",
        "CREATE TABLE tenancy.books (id int)",
    )],
)
.with_requires(&["core"]);

#[track_caller]
fn assert_refused(refused: std::result::Result<(), Error>, code: &str, told: &[&str]) {
    let error = refused.err();
    let found = error.as_ref().map(|e| (e.kind(), e.code(), e.retry()));
    assert_eq!(found, Some((ErrorKind::Misconfigured, code, Retry::Never)));
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    for part in told {
        assert!(text.contains(part), "{text}");
    }
}

async fn adds(db: &TenantDb, ctx: &TenantCtx, column: &str) -> Result {
    let mut tx = db.write(ctx).await?;
    let insert = format!("INSERT INTO tenancy.books (tenant_id, {column}) VALUES ($1, 'x')");
    sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(ctx.tenant())
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// As two programs have them: each its own handle.
async fn two(kit: &Db) -> Result<[TenantDb; 2]> {
    let url = kit.server.app_url();
    Ok([TenantDb::connect(url).await?, TenantDb::connect(url).await?])
}

#[tokio::test]
async fn expand_deploy_contract_without_a_moment_in_which_nothing_runs() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    migrate::migrate(&kit.operator, &[&CORE, &V1]).await?;
    let [old, new] = two(&kit).await?;
    let ctx = testing::tenant(&old).await?;
    old.verify(&[&CORE, &V1]).await?;
    adds(&old, &ctx, "name").await?;
    assert_refused(
        new.verify(&[&CORE, &V2]).await,
        "schema_older",
        &["`library`", "2 (`titles`)", "tenancy migrate"],
    );

    // Expand: both run, and an old process that is started again changes nothing.
    migrate::migrate(&kit.operator, &[&CORE, &V2]).await?;
    old.verify(&[&CORE, &V1]).await?;
    new.verify(&[&CORE, &V2]).await?;
    adds(&old, &ctx, "name").await?;
    adds(&new, &ctx, "title").await?;
    assert!(
        migrate::migrate(&kit.operator, &[&CORE, &V1])
            .await?
            .is_empty()
    );

    // Contract: it serves the last version, and not the one before.
    migrate::migrate(&kit.operator, &[&CORE, &V3]).await?;
    new.verify(&[&CORE, &V2]).await?;
    adds(&new, &ctx, "title").await?;
    let told = [
        "migration 3 of `library`",
        "migration 2 or later",
        "knows 1",
    ];
    assert_refused(old.verify(&[&CORE, &V1]).await, "schema_newer", &told);
    let started = migrate::migrate(&kit.operator, &[&CORE, &V1]).await;
    assert_refused(started.map(drop), "schema_newer", &told);

    // What comes later does not let the old one in again.
    migrate::migrate(&kit.operator, &[&CORE, &V4]).await?;
    new.verify(&[&CORE, &V2]).await?;
    assert_refused(old.verify(&[&CORE, &V1]).await, "schema_newer", &told);
    Ok(())
}

#[tokio::test]
async fn all_that_is_missing_is_named() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let told = [
        "`library` lacks",
        "1 (`books`), 2 (`titles`), 3 (`no_names`)",
    ];
    assert_refused(kit.app.verify(&[&CORE, &V3]).await, "schema_older", &told);
    Ok(())
}

#[tokio::test]
async fn a_step_whose_text_changed_is_refused_by_both() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    migrate::migrate(&kit.operator, &[&CORE, &V2]).await?;
    let told = ["migration 1 of `library`"];
    assert_refused(
        kit.app.verify(&[&CORE, &CHANGED]).await,
        "migration_changed",
        &told,
    );
    let run = migrate::migrate(&kit.operator, &[&CORE, &CHANGED]).await;
    assert_refused(run.map(drop), "migration_changed", &told);
    Ok(())
}

/// Opens both kinds of handle that serve, as processes that start do.
async fn start(kit: &Db) -> std::result::Result<(), Error> {
    let app = TenantDb::connect(kit.server.app_url()).await.map(drop);
    let worker = WorkerDb::connect(kit.server.worker_url()).await.map(drop);
    assert_eq!(
        app.as_ref().err().map(Error::code),
        worker.as_ref().err().map(Error::code)
    );
    app
}

#[tokio::test]
async fn connecting_looks_at_the_schema_of_this_crate() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let superuser = kit.superuser().await?;
    let record = |change: &'static str| sqlx::raw_sql(change).execute(&superuser);
    start(&kit).await?;

    record(
        "INSERT INTO tenancy.schema_migrations VALUES ('core', 9999, 'additive', sha256(''), 0)",
    )
    .await?;
    start(&kit).await?;
    record("UPDATE tenancy.schema_migrations SET compatible_from = 9000 WHERE version = 9999")
        .await?;
    assert_refused(
        start(&kit).await,
        "schema_newer",
        &["migration 9999 of `core`", "9000"],
    );
    record("DELETE FROM tenancy.schema_migrations WHERE version = 9999").await?;

    record("UPDATE tenancy.schema_migrations SET checksum = sha256('') WHERE component = 'core' AND version = 2").await?;
    assert_refused(
        start(&kit).await,
        "migration_changed",
        &["migration 2 of `core`"],
    );
    record("DELETE FROM tenancy.schema_migrations WHERE component = 'core' AND version > 1")
        .await?;
    assert_refused(
        start(&kit).await,
        "schema_older",
        &["`core` lacks migrations 2 (`settings`)", "more"],
    );
    Ok(())
}

#[tokio::test]
async fn of_processes_that_migrate_at_once_one_does_it_and_the_others_wait() -> Result {
    let db = TestDb::empty().await?;
    let at_once = Arc::new(Barrier::new(3));
    let runs = (0..3).map(|_| async {
        let operator = OperatorDb::connect(db.operator_url()).await?;
        at_once.wait().await;
        migrate::migrate(&operator, &[&CORE, &V4]).await
    });
    let mut done = Vec::new();
    for run in futures_util::future::join_all(runs).await {
        done.push(run?.len());
    }
    done.sort_unstable();
    assert_eq!(done, [0, 0, CORE.migrations.len() + 4]);
    Ok(())
}
