//! Every statement can be prepared by the role that runs it.

use std::path::Path;

use crate::support::House;

#[tokio::test]
async fn every_statement_prepares_as_the_role_that_runs_it() {
    let house = House::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/sql");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let sql: &'static str = std::fs::read_to_string(&path).unwrap().leak();
        let (pool, role) = match sql.lines().next() {
            Some("-- role: app") => (house.db.app.without_tenant(), "SELECT 1"),
            Some("-- role: worker") => (house.db.worker.pool(), "SELECT 1"),
            Some("-- role: operator") => (house.db.operator.pool(), "SET ROLE tenancy_owner"),
            other => panic!("{}: {other:?} names no role", path.display()),
        };
        let prepare: &'static str = format!("PREPARE statement AS {sql}").leak();
        let mut conn = pool.acquire().await.unwrap();
        sqlx::raw_sql(role).execute(&mut *conn).await.unwrap();
        let prepared = sqlx::raw_sql(prepare).execute(&mut *conn).await;
        assert!(prepared.is_ok(), "{}: {prepared:?}", path.display());
        let end = "DEALLOCATE statement; RESET ROLE";
        sqlx::raw_sql(end).execute(&mut *conn).await.unwrap();
        seen += 1;
    }
    assert_eq!(seen, 21);
}
