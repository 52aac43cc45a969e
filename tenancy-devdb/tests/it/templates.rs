//! Databases for tests: what they hold, and who may do what in them.

use std::sync::atomic::{AtomicU32, Ordering};

use tenancy_devdb::{BoxError, Database, ErrorKind, TestDb};

use crate::support::*;

/// Roles belong to the whole cluster: whoever comes second finds them there.
pub(crate) const MAKE_ROLES: &str = "
DO $$ BEGIN
    CREATE ROLE tenancy_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE tenancy_worker NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$";

pub(crate) const MAKE_TABLE: &str = "
CREATE TABLE notes (id int PRIMARY KEY, meaning vector(3));
GRANT SELECT ON notes TO tenancy_app;
GRANT INSERT ON notes TO tenancy_worker;
INSERT INTO notes VALUES (1, '[1,2,3]')";

pub(crate) async fn migrate(db: Database) -> Result<(), BoxError> {
    run(db.operator_url(), MAKE_ROLES).await?;
    run(db.operator_url(), MAKE_TABLE).await?;
    Ok(())
}

#[tokio::test]
async fn each_login_may_do_what_the_migration_granted_its_role_and_no_more() {
    let dev = packaged().start().await.unwrap();
    let db = dev.test_db(MAKE_TABLE, migrate).await.unwrap();
    assert_eq!(text(db.app_url(), "SELECT id::text FROM notes").await, "1");
    let denied = run(db.app_url(), "DELETE FROM notes").await.unwrap_err();
    assert_eq!(state(&denied), "42501");
    run(db.worker_url(), "INSERT INTO notes VALUES (2)")
        .await
        .unwrap();
    let denied = text_error(db.worker_url(), "SELECT id::text FROM notes").await;
    assert_eq!(state(&denied), "42501");
    run(db.superuser_url().unwrap(), "DROP TABLE notes")
        .await
        .unwrap();
}

#[tokio::test]
async fn no_login_but_the_superusers_is_a_superuser() {
    let db = packaged()
        .start()
        .await
        .unwrap()
        .empty_test_db()
        .await
        .unwrap();
    let query = "SELECT concat_ws(' ', rolsuper, rolbypassrls, rolcreaterole, rolcreatedb)
                 FROM pg_roles WHERE rolname = current_user";
    assert_eq!(text(db.operator_url(), query).await, "f f t t");
    assert_eq!(text(db.app_url(), query).await, "f f f f");
    assert_eq!(text(db.worker_url(), query).await, "f f f f");
}

#[tokio::test]
async fn two_tests_do_not_see_each_other() {
    let one = TestDb::from_template(MAKE_TABLE, migrate).await.unwrap();
    let two = TestDb::from_template(MAKE_TABLE, migrate).await.unwrap();
    run(one.worker_url(), "INSERT INTO notes VALUES (5)")
        .await
        .unwrap();
    let count = "SELECT count(*)::text FROM notes";
    assert_eq!(text(one.app_url(), count).await, "2");
    assert_eq!(text(two.app_url(), count).await, "1");
}

#[tokio::test]
async fn a_test_database_goes_with_its_guard_even_while_a_session_is_open() {
    let db = packaged()
        .start()
        .await
        .unwrap()
        .empty_test_db()
        .await
        .unwrap();
    let (name, dev) = (db.name().to_owned(), db.server().clone());
    let open = connect(db.app_url()).await;
    drop(db);
    assert!(!names(dev.superuser_url().unwrap()).await.contains(&name));
    drop(open);
    let db = dev.empty_test_db().await.unwrap();
    let name = db.name().to_owned();
    db.close().await.unwrap();
    assert!(!names(dev.superuser_url().unwrap()).await.contains(&name));
}

#[tokio::test]
async fn a_template_is_migrated_once_however_many_ask_for_it() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let place = Place::new("once");
    let dev = place.builder().await.start().await.unwrap();
    let ask = || {
        dev.test_db("once", async |db: Database| {
            RUNS.fetch_add(1, Ordering::SeqCst);
            migrate(db).await
        })
    };
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    for db in [a, b, c, d] {
        assert_eq!(
            text(db.unwrap().app_url(), "SELECT id::text FROM notes").await,
            "1"
        );
    }
    assert_eq!(RUNS.load(Ordering::SeqCst), 1);
    signal(postmaster(dev.operator_url()), "-INT");
}

#[tokio::test]
async fn a_migration_that_fails_says_so_and_is_tried_again() {
    let dev = packaged().start().await.unwrap();
    let key = format!("it-fails-{}", std::process::id());
    let failed = dev.test_db(&key, async |db: Database| {
        run(db.operator_url(), "CREATE TABLE half (id int)").await?;
        Err("no good".into())
    });
    let error = failed.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Migrate);
    assert!(error.to_string().contains("no good"), "{error}");
    let done = dev.test_db(&key, async |db: Database| {
        Ok(run(db.operator_url(), "CREATE TABLE half (id int)").await?)
    });
    done.await.unwrap();
}

#[tokio::test]
async fn a_clone_has_the_grants_and_settings_of_its_template() {
    let dev = packaged().start().await.unwrap();
    let db = dev.test_db(MAKE_EXTRAS, async |db: Database| {
        run(db.operator_url(), MAKE_ROLES).await?;
        Ok(run(db.operator_url(), MAKE_EXTRAS).await?)
    });
    let db = db.await.unwrap();
    run(db.worker_url(), "CREATE SCHEMA mine").await.unwrap();
    assert_eq!(text(db.app_url(), "SHOW work_mem").await, "5MB");
    let of_role = "SELECT setconfig::text FROM pg_db_role_setting
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND setrole = 'tenancy_worker'::regrole";
    assert_eq!(text(db.app_url(), of_role).await, "{work_mem=6MB}");
    assert_eq!(
        text(db.app_url(), "SHOW search_path").await,
        "public, pg_temp"
    );
    let denied = run(db.app_url(), "CREATE TEMP TABLE x ()")
        .await
        .unwrap_err();
    assert_eq!(state(&denied), "42501");
}

#[tokio::test]
async fn vector_is_there_for_a_login_that_could_not_make_it_unless_left_out() {
    let dev = packaged().start().await.unwrap();
    let with = dev.empty_test_db().await.unwrap();
    run(with.operator_url(), ASK_FOR_VECTOR).await.unwrap();
    let without = dev.empty_test_db_without_vector().await.unwrap();
    let denied = run(without.operator_url(), ASK_FOR_VECTOR)
        .await
        .unwrap_err();
    assert_eq!(state(&denied), "42501");
    let template = dev.test_db_without_vector("it-none", async |db: Database| {
        Ok(run(db.operator_url(), "CREATE TABLE plain (id int)").await?)
    });
    let denied = run(template.await.unwrap().operator_url(), ASK_FOR_VECTOR)
        .await
        .unwrap_err();
    assert_eq!(state(&denied), "42501");
}

#[tokio::test]
async fn a_named_database_lasts_until_it_is_dropped() {
    let dev = packaged().start().await.unwrap();
    let name = format!("it_named_{}", std::process::id());
    let db = dev.database(&name).await.unwrap();
    run(db.operator_url(), "CREATE TABLE kept ()")
        .await
        .unwrap();
    let again = dev.database(&name).await.unwrap();
    run(again.operator_url(), "SELECT FROM kept").await.unwrap();
    dev.drop_database(&name).await.unwrap();
    dev.drop_database(&name).await.unwrap();
    assert!(!names(dev.superuser_url().unwrap()).await.contains(&name));
    let bad = dev
        .database("x\"; DROP DATABASE postgres")
        .await
        .unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::Config);
}

const MAKE_EXTRAS: &str = "
DO $$ BEGIN
    EXECUTE format('GRANT CREATE ON DATABASE %I TO tenancy_worker', current_database());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database());
    EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_temp', current_database());
    EXECUTE format('ALTER DATABASE %I SET temp_tablespaces = ''''', current_database());
    EXECUTE format('ALTER ROLE tenancy_worker IN DATABASE %I SET work_mem = ''6MB''',
        current_database());
END $$";

const ASK_FOR_VECTOR: &str = "CREATE EXTENSION IF NOT EXISTS vector";

async fn text_error(url: &str, query: &'static str) -> sqlx::Error {
    sqlx::query_scalar::<_, String>(query)
        .fetch_one(&mut connect(url).await)
        .await
        .unwrap_err()
}
