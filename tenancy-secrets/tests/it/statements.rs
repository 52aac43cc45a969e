//! Every statement can be prepared by the role that runs it.

use std::{fs, path::Path};

use crate::support::{Result, World};

#[tokio::test]
async fn every_statement_prepares_as_the_role_it_names() -> Result {
    let world = World::new().await?;
    let superuser = world.db.superuser().await?;
    let mut conn = superuser.acquire().await?;
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/sql"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let role = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("-- role: "));
        let role = match role {
            Some("app") => "tenancy_app",
            Some("worker") => "tenancy_worker",
            other => panic!("{}: role {other:?}", path.display()),
        };
        let sql = format!(
            "SET ROLE {role}; PREPARE statement AS {text}; DEALLOCATE statement; RESET ROLE"
        );
        let prepared = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut *conn)
            .await;
        prepared.map_err(|error| format!("{}: {error}", path.display()))?;
        count += 1;
    }
    assert!(count > 30, "{count} statements");
    Ok(())
}
