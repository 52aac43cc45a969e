//! The operator's binary, run as an operator runs it.

#![cfg(feature = "cli")]

use std::process::{Command, Output};

use tenancy_core::{TenantId, testing};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

async fn database() -> Result<Db> {
    static PARTS: std::sync::LazyLock<Vec<&'static tenancy::core::migrate::Component>> =
        std::sync::LazyLock::new(tenancy::components);
    Db::new(&PARTS).await
}

/// Runs the binary; what it printed, if it went well.
fn run(db: &Db, words: &[&str]) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .args(words)
        .env("TENANCY_OPERATOR_URL", db.server.operator_url())
        .env("TENANCY_WORKER_URL", db.server.worker_url())
        .output()?;
    if status.success() {
        return Ok(String::from_utf8(stdout)?);
    }
    Err(String::from_utf8(stderr)?.into())
}

#[tokio::test]
async fn the_history_of_jobs_gets_its_months_and_loses_old_ones() -> Result {
    let db = database().await?;
    let partitions = |words: &[&str]| run(&db, &[&["jobs", "partitions"], words].concat());
    assert_eq!(partitions(&[])?, "0 months made\n");
    assert_eq!(partitions(&["--ahead", "14"])?, "2 months made\n");
    sqlx::raw_sql("SELECT tenancy.job_history_add_month((now() - interval '14 months')::date)")
        .execute(&db.superuser().await?)
        .await?;
    let kept = partitions(&["--keep-months", "12"])?;
    assert_eq!(kept, "0 months made\n1 months dropped\n");
    assert!(
        partitions(&["--keep-months", "0"]).is_err(),
        "this month is in use"
    );
    Ok(())
}

#[tokio::test]
async fn a_new_key_is_an_entry_that_the_keyring_takes() -> Result {
    let db = database().await?;
    let keygen = || run(&db, &["secrets", "keygen", "2026-a"]);
    let (one, two) = (keygen()?, keygen()?);
    assert_ne!(one, two);
    assert!(one.starts_with("2026-a:"), "{}", one.len());
    tenancy::secrets::LocalKeyring::parse(&one)?;
    assert!(run(&db, &["secrets", "keygen", "no:name"]).is_err());
    Ok(())
}

#[tokio::test]
async fn a_tenants_share_is_shown_and_changed_and_what_is_not_named_stays() -> Result {
    let db = database().await?;
    let tenant = testing::tenant(&db.app).await?.tenant().to_string();
    let policy = |verb: &str, of: &str, words: &[&str]| {
        run(&db, &[&["jobs", "policy", verb, of], words].concat())
    };
    let default = "weight: 1\nat most in flight: any number\npaused: no\n";
    assert_eq!(policy("show", &tenant, &[])?, default);
    let set = policy(
        "set",
        &tenant,
        &["--weight", "3", "--max-in-flight", "20", "--pause"],
    )?;
    assert_eq!(set, "weight: 3\nat most in flight: 20\npaused: yes\n");
    let set = policy("set", &tenant, &["--no-limit"])?;
    assert_eq!(
        set,
        "weight: 3\nat most in flight: any number\npaused: yes\n"
    );
    let set = policy("set", &tenant, &["--resume"])?;
    assert_eq!(
        set,
        "weight: 3\nat most in flight: any number\npaused: no\n"
    );

    let unknown = TenantId::new().to_string();
    for words in [
        ["show", unknown.as_str()].as_slice(),
        &["set", &unknown, "--weight", "2"],
        &["set", &tenant, "--weight", "0"],
        &["set", &tenant, "--weight", "1001"],
        &["set", &tenant, "--pause", "--resume"],
        &["show", "no uuid"],
    ] {
        let refused = run(&db, &[&["jobs", "policy"], words].concat());
        assert!(refused.is_err(), "{words:?}");
    }
    let words = ["jobs", "policy", "show", unknown.as_str()];
    let message = run(&db, &words).unwrap_err().to_string();
    assert!(message.contains("there is no tenant"), "{message}");
    assert_eq!(policy("show", &tenant, &[])?, set);
    Ok(())
}
