//! temporary
use tenancy_core::{doctor::{self, Options}, migrate::CORE};
use tenancy_testkit::Db;
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
#[tokio::test]
async fn family() -> Result {
    let db = Db::new(&[&CORE]).await?;
    for part in ["audit", "authz", "secrets", "jobs", "mcp", "rag"] {
        let dir = format!("{}/../tenancy-{part}/migrations", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> = std::fs::read_dir(dir)?.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "sql")).collect();
        files.sort();
        let mut tx = db.operator.pool().begin().await?;
        for file in files {
            sqlx::raw_sql(sqlx::AssertSqlSafe(std::fs::read_to_string(&file)?)).execute(&mut *tx).await.map_err(|e| format!("{file:?} {e}"))?;
        }
        tx.commit().await?;
    }
    let nil = "00000000-0000-0000-0000-000000000000";
    let options = Options::default().with_app(&db.app)
        .with_sample("tenancy.tenant_data_keys", serde_json::json!({"key_id": nil}))
        .with_sample("tenancy.integration_secrets", serde_json::json!({"key_id": nil, "encrypted": {"v": 1, "envelope": "A".repeat(132)}}));
    let report = doctor::run(&db.operator, &options).await?;
    println!("{}", report.to_text(true));
    for t in &report.matrix.as_ref().unwrap().tables { for c in &t.cells { if c.verdict == tenancy_core::doctor::Verdict::NotExercised { println!("{} {:?} {:?}", t.table, c.operation, c.note); } } }
    Ok(())
}
