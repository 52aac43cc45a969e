//! The logins of `docs/operations.md`, made as it stands on a server that has nothing else, are enough
//! for everything, and none is more than it has to be.

use sqlx::{AssertSqlSafe, PgPool};
use tenancy_core::{
    ErrorKind, OperatorDb, TenantDb, WorkerDb,
    doctor::{self, Options},
    migrate::{self, CORE, Component, Migration},
    testing,
};
use tenancy_testkit::Cluster;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HOST: Component = Component::new(
    "host",
    &[Migration::new(
        1,
        "templates",
        "CREATE TABLE public.templates (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));
         SELECT tenancy.protect_table('public.templates')",
    )],
)
.with_requires(&["core"]);

/// The statements that the page has for somebody.
fn statements(whose: &str) -> Result<String> {
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/operations.md"
    ))?;
    let mark = format!("<!-- logins: {whose} -->\n```sql\n");
    let (_, rest) = page.split_once(&mark).ok_or("the page has no such block")?;
    let (sql, _) = rest.split_once("```").ok_or("the block does not end")?;
    Ok(sql.replace('…', "secret"))
}

#[tokio::test]
async fn the_pages_logins_are_enough_and_not_too_much() -> Result {
    let server = Cluster::start().await?;
    let url = |login: &str| server.url(login, "secret", "my_db");
    let superuser = PgPool::connect(&server.superuser_url("postgres")).await?;
    sqlx::raw_sql("CREATE DATABASE my_db")
        .execute(&superuser)
        .await?;
    let superuser = PgPool::connect(&server.superuser_url("my_db")).await?;
    let administrators = AssertSqlSafe(statements("administrator")?);
    sqlx::raw_sql(administrators).execute(&superuser).await?;

    let operator = OperatorDb::connect(&url("my_operator")).await?;
    migrate::migrate(&operator, &[&CORE, &HOST]).await?;
    let operators = AssertSqlSafe(statements("operator")?);
    sqlx::raw_sql(operators).execute(operator.pool()).await?;

    let app = TenantDb::connect(&url("my_app")).await?;
    app.verify(&[&CORE, &HOST]).await?;
    testing::tenant(&app).await?;
    WorkerDb::connect(&url("my_worker")).await?;
    let report = doctor::run(&operator, &Options::default().with_app(&app)).await?;
    assert_eq!(report.exit_code(), 0, "{}", report.to_text(false));

    for other in ["my_operator", "my_worker"] {
        let refused = TenantDb::connect(&url(other)).await.err();
        let kind = refused.as_ref().map(tenancy_core::Error::kind);
        assert_eq!(kind, Some(ErrorKind::Misconfigured), "{other}: {refused:?}");
    }
    assert!(WorkerDb::connect(&url("my_app")).await.is_err());
    Ok(())
}
