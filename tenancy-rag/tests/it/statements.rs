//! Every statement can be prepared by the role that runs it, and the schema is as promised.

use std::path::Path;

use tenancy_core::doctor;

use crate::common::World;

#[tokio::test]
async fn every_statement_prepares_as_the_role_that_runs_it() {
    let world = World::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/sql");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let sql = std::fs::read_to_string(&path).unwrap();
        let pool = match sql.lines().next() {
            Some("-- role: app") => world.db.app.without_tenant(),
            Some("-- role: operator") => world.db.operator.pool(),
            other => panic!("{}: {other:?} names no role", path.display()),
        };
        let mut conn = pool.acquire().await.unwrap();
        let prepare = sqlx::AssertSqlSafe(format!("PREPARE statement AS {sql}"));
        let prepared = sqlx::raw_sql(prepare).execute(&mut *conn).await;
        assert!(prepared.is_ok(), "{}: {prepared:?}", path.display());
        sqlx::raw_sql("DEALLOCATE statement")
            .execute(&mut *conn)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn every_table_is_forced_under_policies_and_keyed_by_its_tenant() {
    let world = World::new().await;
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'tenancy' AND c.relname LIKE 'kb\\_%' AND c.relkind = 'r'
           AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
             SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
             WHERE i.indrelid = c.oid AND i.indisprimary AND a.attname = 'tenant_id'))",
    )
    .fetch_all(&world.superuser().await)
    .await
    .unwrap();
    assert_eq!(loose, [""; 0]);
}

#[tokio::test]
async fn the_app_can_not_look_across_tenants_for_large_ones() {
    let world = World::new().await;
    let refused = sqlx::query("SELECT tenancy.kb_large_tenants(0)")
        .execute(world.db.app.without_tenant())
        .await
        .unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().as_deref(),
        Some("42501")
    );
}

/// Rules and attacks of the core's doctor, with rows of both tenants in every table.
#[tokio::test]
async fn the_doctor_finds_no_way_from_one_tenant_to_another() {
    let world = World::new().await;
    for ctx in [&world.admin, &world.stranger] {
        world
            .put(ctx, "a.md", "Some words.", &["admin"])
            .await
            .unwrap();
    }
    let options = doctor::Options::default().with_app(&world.db.app);
    let report = doctor::run(&world.db.operator, &options).await.unwrap();
    println!("{}", report.to_text(false));
    assert_eq!(report.exit_code(), 0, "{}", report.to_text(false));
}
