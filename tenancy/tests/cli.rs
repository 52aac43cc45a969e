//! The operator's binary, as an operator runs it.

use std::process::{Command, Output};

use tenancy::core::{TenantId, UserId};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn tenancy(db: &Db, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .args(arguments)
        .env("TENANCY_OPERATOR_URL", db.server.operator_url())
        .env_remove("TENANCY_APP_URL")
        .output()?)
}

/// The exit code and what was printed.
fn said(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_migrates_lists_what_was_refused_and_makes_months() -> Result {
    let db = Db::new(&[&tenancy::core::migrate::CORE]).await?;
    let (code, text) = said(&tenancy(&db, &["migrate"])?);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("applied audit 1"), "{text}");
    let (code, text) = said(&tenancy(&db, &["migrate"])?);
    assert_eq!(code, Some(0));
    assert!(text.contains("the schema is up to date"), "{text}");

    let (stranger, nowhere) = (UserId::new(), TenantId::new());
    assert!(db.app.enter(nowhere, stranger).await.is_err());
    db.app.platform_log().flush().await;
    let (code, text) = said(&tenancy(&db, &["platform-log", "list", "--hours", "1"])?);
    assert_eq!(code, Some(0));
    let line = format!("enter.refused not_a_member 1x user:{stranger} tenant {nowhere}\n");
    assert!(text.ends_with(&line), "{text}");
    let (_, kept) = said(&tenancy(&db, &["platform-log", "purge", "--days", "1"])?);
    let (_, gone) = said(&tenancy(&db, &["platform-log", "purge", "--days", "0"])?);
    assert_eq!(
        (kept.as_str(), gone.as_str()),
        ("0 entries removed\n", "1 entries removed\n")
    );

    let (code, text) = said(&tenancy(&db, &["audit", "partitions", "--ahead", "14"])?);
    assert_eq!(code, Some(0));
    assert!(text.contains(": Made\n"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_can_not_be_made_is_no_success() -> Result {
    let db = Db::new(&[&tenancy::core::migrate::CORE]).await?;
    assert_eq!(said(&tenancy(&db, &["migrate"])?).0, Some(0));
    // Rows of that month in the default partition.
    sqlx::raw_sql(
        "SET session_replication_role = replica;
         ALTER TABLE tenancy.audit_logs DROP CONSTRAINT audit_logs_id_time;
         INSERT INTO tenancy.audit_logs
             (tenant_id, id, actor_kind, actor_id, action, outcome, schema_version, content_hash)
         SELECT gen_random_uuid(), tenancy.uuid_v7_floor(now() + interval '14 months'), 'user', 'x',
             'a.b', 'allowed', 1, sha256('x')",
    )
    .execute(&db.superuser().await?)
    .await?;
    let (code, text) = said(&tenancy(&db, &["audit", "partitions", "--ahead", "14"])?);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(": Blocked\n"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_reached_is_said_without_the_password_and_ends_with_2() -> Result {
    let output = Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .args([
            "migrate",
            "--database-url",
            "postgres://me:secret@127.0.0.1:1/none",
        ])
        .output()?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(
        words.starts_with("error: ") && !words.contains("secret"),
        "{words}"
    );
    Ok(())
}

/// What has to be signed says in its help where the key comes from; what has not goes without one.
#[tokio::test(flavor = "multi_thread")]
async fn policies_are_set_and_listed_without_a_key() -> Result {
    let db = Db::new(&[&tenancy::core::migrate::CORE, &tenancy::audit::COMPONENT]).await?;
    let audit = |words: &[&str]| -> Result<Output> {
        Ok(Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .arg("audit")
            .args(words)
            .env("TENANCY_OPERATOR_URL", db.server.operator_url())
            .env_remove("TENANCY_AUDIT_SEAL_KEY")
            .output()?)
    };
    let week = ["policy", "set", "--keep", "7", "--reason", "a week"];
    for (words, expected) in [
        (&week[..], "set\n"),
        (
            &["policy", "list"],
            "every tenant: everything: 7 days (a week)\n",
        ),
        (&["policy", "unset"], "taken away\n"),
        (&["policy", "list"], ""),
    ] {
        assert_eq!(said(&audit(words)?), (Some(0), expected.to_owned()));
    }
    let refused = audit(&["retain"])?;
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8(refused.stderr)?;
    assert!(text.contains("TENANCY_AUDIT_SEAL_KEY"), "{text}");
    for command in [
        "adopt",
        "drop-month",
        "erase-details",
        "public-key",
        "remove",
        "retain",
        "seal",
    ] {
        let (_, help) = said(&audit(&[command, "--help"])?);
        assert!(help.contains("TENANCY_AUDIT_SEAL_KEY"), "{command}: {help}");
    }
    Ok(())
}
