//! What the migrations make, and that every statement fits it.

use std::{fmt::Write as _, path::Path};

use sqlx::{Connection as _, PgConnection, PgPool, Row as _, postgres::PgConnectOptions};
use tenancy_core::{
    doctor::{Severity, Verdict},
    migrate::{CORE, Component},
};
use tenancy_testkit::Db;

use super::{CRATES, Result, assert_golden, files, root};

const ALL: &[&Component] = &[
    &CORE,
    &tenancy::audit::COMPONENT,
    &tenancy::authz::COMPONENT,
    &tenancy::secrets::COMPONENT,
    &tenancy::jobs::COMPONENT,
    &tenancy::mcp::COMPONENT,
    &tenancy::rag::COMPONENT,
];

/// One line for each object that a component makes.
async fn objects(pool: &PgPool) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(include_str!("objects.sql"))
        .fetch_all(pool)
        .await?)
}

async fn assert_schema(
    folder: &str,
    with: &'static [&'static Component],
    without: &'static [&'static Component],
) -> Result {
    let mut before = Vec::new();
    if !without.is_empty() {
        before = objects(Db::new(without).await?.operator.pool()).await?;
    }
    let after = objects(Db::new(with).await?.operator.pool()).await?;
    let mut text = String::new();
    for line in after.iter().filter(|line| !before.contains(line)) {
        writeln!(text, "{line}")?;
    }
    assert_golden(&root().join(folder).join("migrations/schema.txt"), &text)
}

macro_rules! golden_schema {
    ($($test:ident: $folder:literal, $component:path;)+) => {$(
        #[tokio::test]
        async fn $test() -> Result {
            assert_schema($folder, &[&CORE, &$component], &[&CORE]).await
        }
    )+};
}

golden_schema! {
    the_schema_of_audit_is_the_golden_one: "tenancy-audit", tenancy::audit::COMPONENT;
    the_schema_of_authz_is_the_golden_one: "tenancy-authz", tenancy::authz::COMPONENT;
    the_schema_of_jobs_is_the_golden_one: "tenancy-jobs", tenancy::jobs::COMPONENT;
    the_schema_of_mcp_is_the_golden_one: "tenancy-mcp", tenancy::mcp::COMPONENT;
    the_schema_of_rag_is_the_golden_one: "tenancy-rag", tenancy::rag::COMPONENT;
    the_schema_of_secrets_is_the_golden_one: "tenancy-secrets", tenancy::secrets::COMPONENT;
}

#[tokio::test]
async fn the_schema_of_core_is_the_golden_one() -> Result {
    assert_schema("tenancy-core", &[&CORE], &[]).await
}

#[tokio::test]
async fn every_statement_prepares_as_the_role_that_runs_it() -> Result {
    let db = Db::new(ALL).await?;
    let mut listing = String::new();
    for name in CRATES.into_iter().filter(|name| *name != "tenancy-devdb") {
        for path in files(&root().join(name).join("src"), ".sql")? {
            let text = std::fs::read_to_string(&path)?;
            let shown = path.strip_prefix(root())?.to_string_lossy().into_owned();
            if let Some(line) = prepared(&db, &text)
                .await
                .map_err(|e| format!("{shown}: {e}"))?
            {
                writeln!(listing, "{shown}: {line}")?;
            }
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/statements.txt");
    assert_golden(&golden, &listing)
}

/// Nothing of the whole family stands in the way of several nodes, and what goes where is known.
#[tokio::test]
async fn every_part_is_ready_to_be_distributed_and_the_plan_is_the_golden_one() -> Result {
    let db = Db::new(ALL).await?;
    let plan = tenancy::citus::plan(&db.operator).await?;
    assert_eq!(plan.blocked, [], "{:#?}", plan.blocked);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/citus.sql");
    assert_golden(&golden, &plan.to_string())
}

#[tokio::test]
async fn the_doctor_finds_nothing_in_the_whole_family_and_attacks_all_of_it() -> Result {
    let db = Db::new(ALL).await?;
    let report = tenancy::doctor(&db.operator, Some(&db.app)).await?;
    let text = report.to_text(false);
    assert_eq!(
        report.count(Severity::Error) + report.count(Severity::Warning),
        0,
        "{text}"
    );
    let matrix = report.matrix.ok_or("the attack was not carried out")?;
    assert_eq!(
        (
            matrix.count(Verdict::Leaked),
            matrix.count(Verdict::NotExercised)
        ),
        (0, 0),
        "{text}"
    );
    assert!(matrix.count(Verdict::Held) > 100, "{text}");
    Ok(())
}

/// The types of a statement's parameters and columns; nothing for one that can't be prepared, whose
/// first line says why.
async fn prepared(db: &Db, text: &str) -> Result<Option<String>> {
    let first = text.lines().next().unwrap_or_default();
    if first.contains("not prepared:") {
        return Ok(None);
    }
    let role = first
        .trim_start_matches("-- role: ")
        .split([',', ' '])
        .next()
        .unwrap_or_default();
    let url = match role {
        "app" => db.server.app_url(),
        "worker" => db.server.worker_url(),
        _ => db.server.operator_url(),
    };
    let mut conn = PgConnection::connect_with(&url.parse::<PgConnectOptions>()?).await?;
    let statement = sqlx::AssertSqlSafe(format!("PREPARE checked AS {text}"));
    sqlx::raw_sql(statement).execute(&mut conn).await?;
    let row = sqlx::query(
        "SELECT parameter_types::text AS takes, coalesce(result_types::text, 'nothing') AS gives
         FROM pg_catalog.pg_prepared_statements WHERE name = 'checked'",
    )
    .fetch_one(&mut conn)
    .await?;
    let (takes, gives): (String, String) = (row.try_get("takes")?, row.try_get("gives")?);
    conn.close().await?;
    Ok(Some(format!("{role} {takes} -> {gives}")))
}
