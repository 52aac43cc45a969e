//! `tenancy doctor` as a program: its forms, its baseline, its exit codes.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tenancy_core::migrate::CORE;
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const NOTES: &str = "CREATE TABLE public.notes (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));
    SELECT tenancy.protect_table('public.notes')";

async fn host(fault: &'static str) -> Result<Db> {
    let db = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(NOTES).execute(db.operator.pool()).await?;
    sqlx::raw_sql(fault).execute(db.operator.pool()).await?;
    Ok(db)
}

fn doctor(db: &Db, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .arg("doctor")
        .args(arguments)
        .env("TENANCY_OPERATOR_URL", db.server.operator_url())
        .env("TENANCY_APP_URL", db.server.app_url())
        .output()?)
}

/// What section 3 of SARIF 2.1.0 asks of the parts that a report uses, and nothing besides: a name that is
/// not in the standard is refused by its own schema as well.
fn sarif_schema() -> Value {
    let exactly = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false });
    let string = json!({ "type": "string" });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let text = exactly(&["text"], json!({ "text": string }));
    let level = json!({ "enum": ["none", "note", "warning", "error"] });
    let rule = exactly(
        &["id"],
        json!({
            "id": string,
            "name": string,
            "shortDescription": text,
            "fullDescription": text,
            "help": text,
            "defaultConfiguration": exactly(&[], json!({ "level": level })),
        }),
    );
    let place = exactly(&[], json!({ "fullyQualifiedName": string, "kind": string }));
    let result = exactly(
        &["message"],
        json!({
            "message": text,
            "ruleId": string,
            "level": level,
            "locations": list(exactly(&[], json!({ "logicalLocations": list(place) }))),
            "partialFingerprints": { "type": "object", "additionalProperties": string },
        }),
    );
    let driver = exactly(
        &["name"],
        json!({
            "name": string,
            "semanticVersion": string,
            "informationUri": { "type": "string", "format": "uri" },
            "rules": { "type": "array", "items": rule, "uniqueItems": true },
        }),
    );
    let tool = exactly(&["driver"], json!({ "driver": driver }));
    let run = exactly(&["tool"], json!({ "tool": tool, "results": list(result) }));
    exactly(
        &["version", "runs"],
        json!({
            "$schema": { "type": "string", "format": "uri" },
            "version": { "enum": ["2.1.0"] },
            "runs": { "type": "array", "minItems": 1, "items": run },
        }),
    )
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_sound_database_is_0_and_a_hole_is_1_in_every_form() -> Result {
    let sound = host("SELECT").await?;
    let answer = doctor(&sound, &[])?;
    assert_eq!(answer.status.code(), Some(0), "{}", printed(&answer));
    assert!(!printed(&answer).contains('\x1b'), "no colour into a pipe");

    let db = host("ALTER POLICY tenant_select ON public.notes USING (true)").await?;
    let text = doctor(&db, &[])?;
    assert_eq!(text.status.code(), Some(1));
    assert!(printed(&text).contains("LEAK"), "{}", printed(&text));

    let json = doctor(&db, &["--format", "json"])?;
    assert_eq!(json.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&json.stdout)?;
    assert_eq!(report["exit_code"], 1);

    let sarif = doctor(&db, &["--format", "sarif"])?;
    assert_eq!(sarif.status.code(), Some(1));
    let schema = sarif_schema();
    let validator = jsonschema::validator_for(&schema)?;
    let report: Value = serde_json::from_slice(&sarif.stdout)?;
    let faults: Vec<String> = validator
        .iter_errors(&report)
        .map(|fault| fault.to_string())
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let results = report["runs"][0]["results"].as_array();
    assert!(
        results.is_some_and(|results| results.len() >= 2),
        "{report}"
    );
    // The schema itself can fail.
    for (name, value) in [("level", "grave"), ("rule", "TEN105")] {
        let mut broken = report.clone();
        broken["runs"][0]["results"][0][name] = value.into();
        assert!(!validator.is_valid(&broken), "{name}");
    }
    // Each result is of a rule that the report describes.
    let rules = report["runs"][0]["tool"]["driver"]["rules"].as_array();
    for result in results.into_iter().flatten() {
        let described =
            rules.is_some_and(|rules| rules.iter().any(|rule| rule["id"] == result["ruleId"]));
        assert!(described, "{result}");
    }
    Ok(())
}

#[tokio::test]
async fn a_baseline_accepts_what_is_known_and_nothing_else() -> Result {
    let db = host("GRANT TRUNCATE ON public.notes TO tenancy_app").await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("doctor.txt");
    let file = file.to_str().ok_or("a path of another encoding")?;
    assert_eq!(doctor(&db, &[])?.status.code(), Some(1));
    assert_eq!(
        doctor(&db, &["--write-baseline", file])?.status.code(),
        Some(0)
    );
    assert!(std::fs::read_to_string(file)?.contains("TEN201 public.notes"));
    let accepted = doctor(&db, &["--baseline", file])?;
    assert_eq!(accepted.status.code(), Some(0), "{}", printed(&accepted));

    sqlx::raw_sql("ALTER TABLE public.notes NO FORCE ROW LEVEL SECURITY")
        .execute(db.operator.pool())
        .await?;
    assert_eq!(doctor(&db, &["--baseline", file])?.status.code(), Some(1));
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_looked_at_is_2() -> Result {
    let db = host("SELECT").await?;
    let missing = doctor(&db, &["--baseline", "/nonexistent/doctor.txt"])?;
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("can't be read"));
    let nowhere = "postgres://nobody@127.0.0.1:1/nowhere";
    assert_eq!(
        doctor(&db, &["--database-url", nowhere])?.status.code(),
        Some(2)
    );
    assert_eq!(doctor(&db, &["--format", "verse"])?.status.code(), Some(2));
    Ok(())
}
